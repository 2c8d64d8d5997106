//! What samples are made of. Domains and telephone numbers are those reserved for examples.

/// First names: as they are written, and as they stand in an address.
pub(super) const FIRST_NAMES: [(&str, &str); 16] = [
    ("Ada", "ada"),
    ("Bilal", "bilal"),
    ("Chloé", "chloe"),
    ("Dmitri", "dmitri"),
    ("Esperanza", "esperanza"),
    ("Farah", "farah"),
    ("Grace", "grace"),
    ("Hiro", "hiro"),
    ("Ingrid", "ingrid"),
    ("João", "joao"),
    ("Katja", "katja"),
    ("Liam", "liam"),
    ("Mei", "mei"),
    ("Ngozi", "ngozi"),
    ("Søren", "soren"),
    ("Zoë", "zoe"),
];

/// Last names, likewise.
pub(super) const LAST_NAMES: [(&str, &str); 16] = [
    ("Okafor", "okafor"),
    ("Lindqvist", "lindqvist"),
    ("Müller", "mueller"),
    ("Tanaka", "tanaka"),
    ("García", "garcia"),
    ("O'Brien", "obrien"),
    ("Rossi", "rossi"),
    ("Haddad", "haddad"),
    ("Nowak", "nowak"),
    ("Silva", "silva"),
    ("Dubois", "dubois"),
    ("Jensen", "jensen"),
    ("Kaya", "kaya"),
    ("Mensah", "mensah"),
    ("Petrov", "petrov"),
    ("van der Berg", "vanderberg"),
];

/// A place, with its coordinates in ten-thousandths of a degree.
pub(super) struct City {
    pub(super) name: &'static str,
    pub(super) country: &'static str,
    pub(super) latitude: i64,
    pub(super) longitude: i64,
}

const fn city(name: &'static str, country: &'static str, (latitude, longitude): (i64, i64)) -> City {
    City { name, country, latitude, longitude }
}

pub(super) static CITIES: [City; 12] = [
    city("Leeds", "GBR", (538_008, -15_491)),
    city("Zürich", "CHE", (473_769, 85_417)),
    city("São Paulo", "BRA", (-235_505, -466_333)),
    city("Seattle", "USA", (476_062, -1_223_321)),
    city("Austin", "USA", (302_672, -977_431)),
    city("Lagos", "NGA", (65_244, 33_792)),
    city("京都", "JPN", (350_116, 1_357_681)),
    city("Malmö", "SWE", (556_050, 130_038)),
    city("Montréal", "CAN", (455_019, -735_674)),
    city("Pune", "IND", (185_204, 738_567)),
    city("Valparaíso", "CHL", (-330_472, -716_127)),
    city("Hobart", "AUS", (-428_821, 1_473_272)),
];

/// Makes, with the platform.
pub(super) const DEVICES: [(&str, &str); 7] = [
    ("Apple", "ios"),
    ("Apple", "macos"),
    ("Samsung", "android"),
    ("Google", "android"),
    ("Fairphone", "android"),
    ("Lenovo", "windows"),
    ("Framework", "linux"),
];

pub(super) const PLANS: [&str; 5] = ["free", "basic", "plus", "pro", "family"];
pub(super) const INTERESTS: [&str; 10] = [
    "hiking",
    "chess",
    "gardening",
    "jazz",
    "baking",
    "astronomy",
    "cycling",
    "knitting",
    "football",
    "theatre",
];
pub(super) const SOURCES: [&str; 6] = ["newsletter", "app", "store", "referral", "web", "fair"];
pub(super) const CAMPAIGNS: [&str; 5] = ["spring", "summer", "autumn", "winter", "birthday"];
/// Text that readers trip over: quotes, line breaks, commas, a backslash, a tab.
pub(super) const NOTES: [&str; 4] = [
    "said \"call me\"\nthen left, smiling",
    "prefers e-mail; no calls,\r\nplease",
    "path C:\\new\tfolder",
    "“quoted” – naïve café",
];
