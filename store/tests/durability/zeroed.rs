//! Part of a table is zeroes, as a disk that lost it leaves it: whatever is read is right or an error. An endpoint is
//! never missing, and a list never short, because what said so could not be read.

use std::{fs, path::Path};

use pinport_model::{JobId, SegmentId};
use pinport_store::{
    Store, StoreError,
    embedded::{Embedded, EmbeddedOptions},
};

use crate::{
    child::{self, APPLICATION, JOB, RECORDS, address_of, id_of},
    open,
};

const PIECES: u64 = 12;
const REGION: usize = 4096;

/// What reading all there is came to.
#[derive(Debug, Default)]
struct Reads {
    right: u64,
    errors: u64,
    /// Stores that did not open.
    shut: u64,
}

#[test]
fn zeroed_blocks_are_errors_and_never_missing_endpoints() {
    for settled in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        child::begin(&store);
        for piece in 0..PIECES {
            child::commit(&store, piece).unwrap();
        }
        if settled {
            store.settle().unwrap();
        }
        drop(store);
        let mut reads = Reads::default();
        read(folder.path(), &mut reads);
        assert_eq!((reads.right, reads.errors, reads.shut), (PIECES * RECORDS + 1, 0, 0));

        let (mut regions, mut reads) = (0, Reads::default());
        let tables = fs::read_dir(folder.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
        for table in tables.filter(|path| path.extension().is_some_and(|suffix| suffix == "sst")) {
            let whole = fs::read(&table).unwrap();
            // Every third, to be short.
            for start in (0..whole.len()).step_by(3 * REGION) {
                let mut damaged = whole.clone();
                let end = whole.len().min(start + REGION);
                damaged[start..end].fill(0);
                fs::write(&table, &damaged).unwrap();
                read(folder.path(), &mut reads);
                regions += 1;
            }
            fs::write(&table, &whole).unwrap();
        }
        println!("settled {settled}: {regions} regions of {REGION} bytes, {reads:?}");
        assert!(reads.errors > 0 && reads.right > reads.errors, "{reads:?}");
    }
}

/// Reads every endpoint and the members; fails if an answer is wrong.
fn read(folder: &Path, reads: &mut Reads) {
    let store = match Embedded::open(folder, EmbeddedOptions::default()) {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
            reads.shut += 1;
            return;
        }
    };
    let ids = (0..PIECES).flat_map(|piece| (0..RECORDS).map(move |record| (piece, id_of(piece, record))));
    for (piece, id) in ids.chain([(PIECES - 1, "shared".to_owned())]) {
        match store.endpoint(APPLICATION, &id) {
            Ok(Some(endpoint)) => {
                assert_eq!(endpoint.address, Some(address_of(piece)), "{id}");
                assert_eq!(endpoint.user.user_attributes.is_empty(), id == "shared", "{id}");
                reads.right += 1;
            }
            Ok(None) => panic!("{id} is said not to be there"),
            Err(StoreError::Corrupt(_)) => reads.errors += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let job = JobId::from_bytes(JOB);
    for all in [
        store.pieces(job, 0, usize::MAX).map(|pieces| pieces.len() as u64 == PIECES),
        store.last_piece(job).map(|last| last.map(|piece| piece.piece) == Some(PIECES - 1)),
        store.user_endpoints(APPLICATION, "user 3", None, usize::MAX).map(|all| all.len() as u64 == RECORDS),
        store.segment(APPLICATION, SegmentId::from(job)).map(|segment| segment.is_some()),
    ] {
        match all {
            Ok(all) => assert!(all, "a list is short"),
            Err(error) => assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}"),
        }
    }
}
