//! A sample endpoint before it is written: who it is (the same in every generation) and its values.

use pinport_model::Channel;

use super::{
    random::{Purpose, Random},
    words::{self, City},
};

/// A random id, as text.
pub(super) type Uuid = [u8; 36];

/// What generations do not change.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) id: Uuid,
    pub(super) user: Uuid,
    pub(super) channel: Channel,
    pub(super) first: (&'static str, &'static str),
    pub(super) last: (&'static str, &'static str),
    /// Makes addresses differ.
    pub(super) number: u64,
    /// Year, month and day of creation, if the row has them.
    pub(super) created: Option<(u64, u64, u64)>,
}

impl Identity {
    pub(super) fn of(seed: u64, index: u64) -> Self {
        let mut random = Random::of(seed, index, Purpose::Identity);
        let id = uuid(&mut random);
        // One row in five belongs to the user of an earlier row, so that some users have several endpoints.
        let user_of = if index > 0 && random.one_in(5) { random.below(index) } else { index };
        let mut person = Random::of(seed ^ 0x7573_6572, user_of, Purpose::Identity);
        Self {
            id,
            user: uuid(&mut person),
            channel: channel(&mut random),
            first: person.pick(&words::FIRST_NAMES),
            last: person.pick(&words::LAST_NAMES),
            number: random.next_u64(),
            created: random
                .one_in(8)
                .then(|| (2019 + random.below(6), 1 + random.below(12), 1 + random.below(28))),
        }
    }

    /// An id that no row has.
    pub(super) fn stranger(seed: u64, index: u64) -> Uuid {
        uuid(&mut Random::of(seed, index, Purpose::Stranger))
    }

    /// Writes the address that belongs to the channel.
    pub(super) fn write_address(&self, out: &mut Vec<u8>) {
        match self.channel {
            Channel::Email => {
                out.extend_from_slice(self.first.1.as_bytes());
                out.push(b'.');
                out.extend_from_slice(self.last.1.as_bytes());
                out.push(b'.');
                write_number(self.number % 100_000_000, out);
                out.extend_from_slice(b"@example.com");
            }
            Channel::Sms | Channel::Voice => {
                // 555-0100 to 555-0199 are never given to anyone, in any area.
                out.extend_from_slice(b"+1");
                write_number(200 + self.number % 790, out);
                out.extend_from_slice(b"55501");
                write_two(self.number / 790 % 100, out);
            }
            _ => {
                let mut token = Random::of(self.number, 0, Purpose::Values);
                write_hex(token.next_u64(), 16, out);
                write_hex(token.next_u64(), 16, out);
                write_hex(token.next_u64(), 16, out);
                write_hex(token.next_u64(), 16, out);
            }
        }
    }
}

fn channel(random: &mut Random) -> Channel {
    match random.below(100) {
        0..45 => Channel::Email,
        45..65 => Channel::Sms,
        65..80 => Channel::Gcm,
        80..94 => Channel::Apns,
        94..96 => Channel::ApnsSandbox,
        96..98 => Channel::Voice,
        98 => Channel::Adm,
        _ => Channel::Baidu,
    }
}

/// A row with every member. Numbers stay numbers until they are written.
pub(super) struct Person {
    pub(super) identity: Identity,
    /// An id that no row has, for rows that must not be found.
    pub(super) stranger: Uuid,
    pub(super) city: &'static City,
    /// In ten-thousandths of a degree.
    pub(super) latitude: i64,
    pub(super) longitude: i64,
    pub(super) device: (&'static str, &'static str),
    /// Year, month, day, hour, minute, second, millisecond.
    pub(super) effective: [u64; 7],
    pub(super) opted_out: bool,
    pub(super) inactive: bool,
    pub(super) plan: &'static str,
    /// One to three.
    pub(super) interests: [Option<&'static str>; 3],
    pub(super) source: &'static str,
    /// A campaign and its year.
    pub(super) campaign: Option<(&'static str, u64)>,
    pub(super) note: Option<&'static str>,
    pub(super) visits: u64,
    /// In hundredths.
    pub(super) basket: u64,
    pub(super) score: Option<u64>,
}

impl Person {
    pub(super) fn new(identity: Identity, seed: u64, index: u64, generation: u32) -> Self {
        let mut random = Random::of(seed.wrapping_add(u64::from(generation)), index, Purpose::Values);
        let random = &mut random;
        let city = &words::CITIES[random.below(words::CITIES.len() as u64) as usize];
        let year = 2024 + u64::from(generation);
        let interests = [
            Some(random.pick(&words::INTERESTS)),
            random.one_in(2).then(|| random.pick(&words::INTERESTS)),
            random.one_in(3).then(|| random.pick(&words::INTERESTS)),
        ];
        Self {
            stranger: Identity::stranger(seed, index),
            identity,
            city,
            latitude: city.latitude + random.below(1000).cast_signed() - 500,
            longitude: city.longitude + random.below(1000).cast_signed() - 500,
            device: random.pick(&words::DEVICES),
            effective: [
                year,
                1 + random.below(12),
                1 + random.below(28),
                random.below(24),
                random.below(60),
                random.below(60),
                random.below(1000),
            ],
            opted_out: random.one_in(20),
            inactive: random.one_in(50),
            plan: random.pick(&words::PLANS),
            interests,
            source: random.pick(&words::SOURCES),
            campaign: random.one_in(2).then(|| (random.pick(&words::CAMPAIGNS), year)),
            note: random.one_in(33).then(|| random.pick(&words::NOTES)),
            visits: random.below(500),
            basket: random.below(20_000),
            score: random.one_in(2).then(|| random.below(101)),
        }
    }
}

/// 128 random bits in the form of a version 4 UUID.
fn uuid(random: &mut Random) -> Uuid {
    let (high, low) = (random.next_u64(), random.next_u64());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; 36];
    hex_into(high >> 32, &mut text[..8]);
    hex_into(high >> 16, &mut text[9..13]);
    hex_into(high, &mut text[14..18]);
    hex_into(low >> 48, &mut text[19..23]);
    hex_into(low, &mut text[24..]);
    text
}

/// Fills `out` with the lowest hex digits of `number`.
fn hex_into(number: u64, out: &mut [u8]) {
    for (place, digit) in out.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    }
}

fn write_hex(number: u64, digits: usize, out: &mut Vec<u8>) {
    let mut text = [0; 16];
    hex_into(number, &mut text[..digits]);
    out.extend_from_slice(&text[..digits]);
}

/// Writes an integer in decimal.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Writes the last two digits of `number`.
pub(super) fn write_two(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Writes a number given in ten-thousandths.
pub(super) fn write_degrees(degrees: i64, out: &mut Vec<u8>) {
    if degrees < 0 {
        out.push(b'-');
    }
    let degrees = degrees.unsigned_abs();
    write_number(degrees / 10_000, out);
    out.push(b'.');
    write_two(degrees / 100, out);
    write_two(degrees, out);
}

/// Writes a number given in hundredths.
pub(super) fn write_hundredths(number: u64, out: &mut Vec<u8>) {
    write_number(number / 100, out);
    out.push(b'.');
    write_two(number, out);
}

/// Writes a point in time as the wire does.
pub(super) fn write_time([year, month, day, hour, minute, second, milli]: [u64; 7], out: &mut Vec<u8>) {
    write_two(year / 100, out);
    write_two(year, out);
    for (before, number) in [(b'-', month), (b'-', day), (b'T', hour), (b':', minute), (b':', second)] {
        out.push(before);
        write_two(number, out);
    }
    out.extend_from_slice(&[b'.', b'0' + (milli / 100 % 10) as u8]);
    write_two(milli, out);
    out.push(b'Z');
}

/// Writes the day of creation as a point in time.
pub(super) fn write_created((year, month, day): (u64, u64, u64), out: &mut Vec<u8>) {
    write_time([year, month, day, 9, 30, 0, 0], out);
}
