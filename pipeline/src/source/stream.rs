//! The reader's view: objects one after the other, each as decoded bytes up to a verified end.

use std::time::Duration;

use pinport_model::{NoticeKind, PlannedObject};

use super::{
    SourceError,
    decode::{Caps, Compression, Fault},
    decoded::{Decoded, Reading},
    feed::{Feed, Replay},
    is_compressed_name,
    layers::Layers,
};
use crate::buffers::Chunk;

/// Objects as decoded bytes, in order. Belongs to one thread, which it blocks; dropping it ends its requests.
pub struct ObjectStream {
    input: Replay,
    caps: Caps,
    reading: Reading,
    /// What the objects' keys become in messages.
    url: Box<dyn Fn(&str) -> String + Send>,
    /// Where the first object begins.
    start: u64,
    current: Option<Current>,
    ended: bool,
}

struct Current {
    object: PlannedObject,
    decoded: Decoded,
    /// What reading ended with: it is said again whenever it is asked for again.
    broken: Option<SourceError>,
}

impl ObjectStream {
    pub(super) fn new(
        feed: Box<dyn Feed>,
        caps: Caps,
        reading: Reading,
        start: u64,
        url: Box<dyn Fn(&str) -> String + Send>,
    ) -> Self {
        Self { input: Replay::new(feed), caps, reading, url, start, current: None, ended: false }
    }

    /// Goes to the next object; what is left of the one before is dropped. An error for which
    /// [`SourceError::is_object_error`] holds takes the place of one object, and the next call goes on after it;
    /// after any other error there is nothing.
    pub fn next_object(&mut self) -> Option<Result<ObjectReader<'_>, SourceError>> {
        let lost = self.current.take().and_then(|current| current.broken);
        self.ended |= lost.is_some_and(|error| !error.is_object_error());
        if self.ended {
            return None;
        }
        let object = match self.input.next_object() {
            Some(Ok(object)) => object,
            Some(Err(error)) => {
                self.start = 0;
                self.ended = !error.is_object_error();
                return Some(Err(error));
            }
            None => {
                self.ended = true;
                return None;
            }
        };
        let start = std::mem::take(&mut self.start);
        match self.begin(&object, start) {
            Ok(decoded) => {
                let current = self.current.insert(Current { object, decoded, broken: None });
                Some(Ok(ObjectReader { input: &mut self.input, url: &*self.url, current }))
            }
            Err(error) => {
                self.ended = !error.is_object_error();
                Some(Err(error))
            }
        }
    }

    fn begin(&mut self, object: &PlannedObject, start: u64) -> Result<Decoded, SourceError> {
        let url = || (self.url)(&object.key);
        let lead = self.input.look().map_err(|fault| error_of(fault, (0, 0), url()))?.to_vec();
        if lead.is_empty() && is_compressed_name(&object.key) {
            return Err(SourceError::Truncated {
                url: url(),
                byte: 0,
                decoded: 0,
                reason: "its name says it is compressed, but it is empty".into(),
            });
        }
        if start > 0 && Layers::needs_start(&lead, self.reading.encoding) {
            self.input.rewind()?;
        }
        let mut decoded = Decoded::begin(&lead, &mut self.input, self.caps, self.reading)
            .map_err(|fault| error_of(fault, (0, 0), url()))?;
        if start == 0 {
            return Ok(decoded);
        }
        let short = |end: u64| SourceError::Truncated {
            url: url(),
            byte: object.size,
            decoded: end,
            reason: format!("reading was to go on at decoded byte {start}"),
        };
        if decoded.is_plain() {
            if start > object.size {
                return Err(short(object.size));
            }
            self.input.seek(start)?;
            decoded.start_at(start);
            return Ok(decoded);
        }
        let mut waste = vec![0; 256 << 10];
        let mut left = start;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(waste.len());
            match decoded.read(&mut self.input, &mut waste[..wanted]) {
                Ok(0) => return Err(short(decoded.decoded_bytes())),
                Ok(bytes) => left -= bytes as u64,
                Err(fault) => return Err(error_of(fault, place(&decoded), url())),
            }
        }
        // They were said when these bytes were read first.
        decoded.take_notes();
        Ok(decoded)
    }
}

/// One object's decoded bytes.
pub struct ObjectReader<'a> {
    input: &'a mut Replay,
    url: &'a (dyn Fn(&str) -> String + Send),
    current: &'a mut Current,
}

impl ObjectReader<'_> {
    /// Reads into `buf`, perhaps less than it holds. 0 only at the clean end: all bytes of the object were read,
    /// it is still the one that was listed, and its decompression says that it is whole.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, SourceError> {
        self.unless_broken(|decoded, input, object| {
            let bytes = decoded.read(input, buf)?;
            // The size of a pipe is not known.
            let listed = object.etag.is_some() || object.size > 0;
            if bytes > 0 || buf.is_empty() || !listed || decoded.source_bytes() == object.size {
                return Ok(bytes);
            }
            Err(Fault::Truncated(format!("it was listed with {} bytes", object.size)))
        })
    }

    /// The next bytes in a buffer of their own, if they came in one with so many bytes of room before them. Otherwise,
    /// and at the end, they must be read.
    pub fn take_chunk(&mut self, room: usize) -> Result<Option<Chunk>, SourceError> {
        self.unless_broken(|decoded, input, _| decoded.take_chunk(input, room))
    }

    fn unless_broken<T>(
        &mut self,
        read: impl FnOnce(&mut Decoded, &mut Replay, &PlannedObject) -> Result<T, Fault>,
    ) -> Result<T, SourceError> {
        let Current { object, decoded, broken } = &mut *self.current;
        if let Some(error) = broken {
            return Err(error.clone());
        }
        read(decoded, self.input, object).map_err(|fault| {
            let error = error_of(fault, place(decoded), (self.url)(&object.key));
            broken.insert(error).clone()
        })
    }

    /// How long the store was waited for since this was asked last, the way to this object included.
    pub fn take_waited(&mut self) -> Duration {
        self.input.take_waited()
    }

    /// What is to be said of the object since this was asked last.
    pub fn take_notes(&mut self) -> Vec<(NoticeKind, String)> {
        self.current.decoded.take_notes()
    }

    /// Bytes of the object that were used, as it lies in the store.
    pub fn source_bytes(&self) -> u64 {
        self.current.decoded.source_bytes()
    }

    /// Offset of the next decoded byte.
    pub fn decoded_bytes(&self) -> u64 {
        self.current.decoded.decoded_bytes()
    }

    /// Whether its bytes are handed out as they lie in the store.
    pub(crate) fn is_plain(&self) -> bool {
        self.current.decoded.is_plain()
    }

    /// How the object is compressed.
    pub fn compression(&self) -> Compression {
        self.current.decoded.compression()
    }

    /// The object.
    pub fn object(&self) -> &PlannedObject {
        &self.current.object
    }
}

/// Where reading is: in the object and after its decoded.
fn place(decoded: &Decoded) -> (u64, u64) {
    (decoded.source_bytes(), decoded.decoded_bytes())
}

/// What a fault of the object at `url` is, met at a byte of it and of its decoded bytes.
pub(super) fn error_of(fault: Fault, (byte, decoded): (u64, u64), url: String) -> SourceError {
    match fault {
        Fault::Source(error) => error,
        Fault::Truncated(reason) => SourceError::Truncated { url, byte, decoded, reason },
        Fault::Corrupt(reason) => SourceError::Corrupt { url, byte, decoded, reason },
        Fault::TooLarge(reason) => SourceError::TooLarge { url, byte, decoded, reason, object: true },
        Fault::Foreign(what) => SourceError::NotData { url, what },
        Fault::Member(reason) => SourceError::Archive { url, byte, reason, none: false },
        Fault::NoMember(reason) => SourceError::Archive { url, byte, reason, none: true },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::decode::Input;
    use super::*;

    /// One object whose bytes take their time.
    struct Slow(Option<PlannedObject>, &'static [u8]);

    const DELAY: Duration = Duration::from_millis(3);

    impl Input for Slow {
        fn fill(&mut self) -> Result<&[u8], Fault> {
            let begun = Instant::now();
            while begun.elapsed() < DELAY {}
            Ok(self.1)
        }

        fn consume(&mut self, bytes: usize) {
            self.1 = &self.1[bytes..];
        }
    }

    impl Feed for Slow {
        fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>> {
            self.0.take().map(Ok)
        }

        fn seek(&mut self, _: u64) -> Result<(), SourceError> {
            Ok(())
        }
    }

    #[test]
    fn waiting_for_the_store_is_measured_apart() {
        let object = PlannedObject { key: "a".into(), size: 1000, etag: None, skipped: None };
        let caps = Caps { decoded: u64::MAX, ratio: u64::MAX, grace: u64::MAX };
        let feed = Box::new(Slow(Some(object), &[b'x'; 1000]));
        let mut stream = ObjectStream::new(feed, caps, Reading::default(), 0, Box::new(str::to_owned));
        let begun = Instant::now();
        let mut reader = stream.next_object().unwrap().unwrap();
        let look = reader.take_waited();
        assert!(look >= DELAY && look <= begun.elapsed(), "{look:?}");
        let begun = Instant::now();
        let mut buf = [0; 64];
        while reader.read(&mut buf).unwrap() > 0 {}
        let read = reader.take_waited();
        // The first bytes were put back: what is waited for is the rest, and the end.
        assert!(read >= 2 * DELAY && read <= begun.elapsed(), "{read:?}");
        assert_eq!(reader.take_waited(), Duration::ZERO);
    }
}
