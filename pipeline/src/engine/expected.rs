//! How many bytes a source will give, while part of it is compressed: what comes out of a compressed object is learned
//! from those that were read.

/// How many times larger what is compressed is thought to be, before anything of it was read.
const GUESS: f64 = 6.0;

/// Compressed bytes that must have been read before their ratio says something.
const ENOUGH: u64 = 4 << 10;

/// Sizes of a source's objects, and what came out of those that were decoded.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Expected {
    /// Bytes of objects that are read as they are.
    plain: u64,
    /// Bytes of objects that are decoded.
    packed: u64,
    /// Bytes of these that were read to their ends, and what came out of them.
    read: u64,
    made: u64,
    /// The same of the one that is being read.
    reading: (u64, u64),
    /// What comes out of a byte, as a look at one of them showed.
    looked: Option<f64>,
}

impl Expected {
    /// What a plan of so many bytes gives, of which some are compressed.
    pub(super) fn of_plan(bytes: u64, packed: u64) -> Self {
        Self { plain: bytes.saturating_sub(packed), packed, ..Self::default() }
    }

    /// A total that an earlier run came to.
    pub(super) fn of_total(bytes: u64) -> Self {
        Self { plain: bytes, ..Self::default() }
    }

    /// Whether both kinds of objects are there, and none that is decoded was read.
    pub(super) fn is_unsure(&self) -> bool {
        self.plain > 0 && self.packed > 0 && self.read + self.reading.0 == 0 && self.looked.is_none()
    }

    /// Takes what a look at an object showed: so many of its bytes became so many.
    pub(super) fn look(&mut self, read: u64, made: u64) {
        if read > 0 {
            self.looked = Some(made as f64 / read as f64);
        }
    }

    /// An object of so many bytes is about to be read. It `is_packed` by its content, and `was_packed` by its name.
    pub(super) fn begin(&mut self, size: u64, is_packed: bool, was_packed: bool) {
        match (was_packed, is_packed) {
            (true, false) => {
                (self.packed, self.plain) = (self.packed.saturating_sub(size), self.plain + size)
            }
            (false, true) => {
                (self.plain, self.packed) = (self.plain.saturating_sub(size), self.packed + size)
            }
            _ => {}
        }
        self.reading = (0, 0);
    }

    /// So much of the object that is decoded was read, and came out of it.
    pub(super) fn reading(&mut self, read: u64, made: u64) {
        self.reading = (read, made);
    }

    /// The object of so many bytes that was decoded is read, or lost.
    pub(super) fn end(&mut self, size: u64) {
        self.pass(size, self.reading.1);
        self.reading = (0, 0);
    }

    /// An earlier run read decoded objects of so many bytes, out of which so many came.
    pub(super) fn pass(&mut self, size: u64, made: u64) {
        self.read += size;
        self.made += made;
    }

    /// Bytes that the source gives in all.
    pub(super) fn bytes(&self) -> u64 {
        let (read, made) = (self.read + self.reading.0, self.made + self.reading.1);
        let ratio = match read {
            ENOUGH.. => made as f64 / read as f64,
            _ => self.looked.unwrap_or(GUESS),
        };
        let left = self.packed.saturating_sub(read) as f64 * ratio;
        self.plain.saturating_add(made).saturating_add(left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compressed_is_exact() {
        assert_eq!(Expected::of_plan(1000, 0).bytes(), 1000);
        assert_eq!(Expected::of_total(7).bytes(), 7);
        assert_eq!(Expected::default().bytes(), 0);
    }

    #[test]
    fn the_ratio_is_learned_while_reading() {
        let mut expected = Expected::of_plan(1_100_000, 100_000);
        assert!(expected.is_unsure());
        assert_eq!(expected.bytes(), 1_600_000, "by a guess");
        expected.look(10, 80);
        assert_eq!(expected.bytes(), 1_800_000);
        expected.begin(40_000, true, true);
        expected.reading(20_000, 200_000);
        assert_eq!(expected.bytes(), 2_000_000);
        expected.end(40_000);
        assert!(!expected.is_unsure());
        // It was lost in the middle: nothing more comes out of it.
        assert_eq!(expected.bytes(), 1_000_000 + 200_000 + 60_000 * 5);
    }

    #[test]
    fn a_name_may_be_wrong_about_what_is_compressed() {
        let mut expected = Expected::of_plan(300_000, 100_000);
        expected.begin(100_000, false, true);
        assert_eq!(expected.bytes(), 300_000);
        expected.begin(200_000, true, false);
        expected.reading(200_000, 900_000);
        expected.end(200_000);
        assert_eq!(expected.bytes(), 1_000_000);
    }
}
