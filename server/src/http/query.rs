//! Query strings, strictly: what does not decode to UTF-8 is refused, never guessed at.

use crate::{
    ApiError,
    limits::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_QUERY_PAIRS, MAX_TOKEN_BYTES},
    percent::decode_segment,
};

/// The decoded query of a request, in the order it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query string.
    pub fn parse(raw: &str) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_QUERY_PAIRS {
                return Err(ApiError::bad_request(format!(
                    "The query has more than {MAX_QUERY_PAIRS} parameters."
                )));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode_segment(name), decode_segment(value)) else {
                return Err(ApiError::bad_request("The query is not percent-encoded UTF-8."));
            };
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// All parameters.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The value of a parameter that may be given once.
    pub fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let given = self.0.iter().filter(|(given, _)| given == name);
        let mut values = given.map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(ApiError::bad_request(format!("The parameter {name} is given twice."))),
            (value, None) => Ok(value),
        }
    }

    /// The values of a parameter that may be repeated (`tagKeys`).
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// `page-size`: 1 to 1000, 200 when it is not given.
    pub fn page_size(&self) -> Result<u32, ApiError> {
        let Some(text) = self.get("page-size")? else { return Ok(DEFAULT_PAGE_SIZE) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|size| digits && (1..=MAX_PAGE_SIZE).contains(size)).ok_or_else(|| {
            ApiError::bad_request(format!("page-size must be a number from 1 to {MAX_PAGE_SIZE}."))
        })
    }

    /// `token`: where the next page begins. An empty one is the first page, as old loops send it.
    pub fn token(&self) -> Result<Option<&str>, ApiError> {
        match self.get("token")?.filter(|token| !token.is_empty()) {
            Some(token) if token.len() > MAX_TOKEN_BYTES => {
                Err(ApiError::bad_request("The token is not one that this server has given out."))
            }
            token => Ok(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        let size = |raw| Query::parse(raw).unwrap().page_size();
        assert_eq!(size("").unwrap(), 200);
        assert_eq!(size("page-size=1000&other").unwrap(), 1000);
        for bad in [
            "page-size=",
            "page-size=0",
            "page-size=1001",
            "page-size=%2B5",
            "page-size=-1",
            "page-size=99999999999",
            "page-size=1&page-size=1",
            "page-size=1e2",
        ] {
            assert_eq!(size(bad).unwrap_err().status(), crate::ErrorStatus::BadRequest, "{bad}");
        }
    }

    #[test]
    fn queries_are_bounded_and_strict() {
        assert!(Query::parse(&"a&".repeat(64)).is_ok());
        assert!(Query::parse(&"a&".repeat(65)).is_err());
        assert!(Query::parse("a=%").is_err());
        assert_eq!(Query::parse("token=a%3D=&&b").unwrap().token().unwrap(), Some("a=="));
        assert_eq!(Query::parse("token=").unwrap().token().unwrap(), None);
        assert!(Query::parse(&format!("token={}", "x".repeat(1025))).unwrap().token().is_err());
    }
}
