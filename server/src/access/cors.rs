//! Which pages in a browser may call: the origins that the configuration names, and none by default. It says so in
//! headers; it is the browser that keeps to them. Who may do what is decided by signatures all the same.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};

/// Origins, as browsers send them: `https://app.example.com`, or with a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

/// Methods of the operations.
const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, POST, PUT");
/// Headers of answers that a page may read beside the usual ones.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Allow, Retry-After, x-amzn-ErrorType, x-amzn-RequestId");
/// Headers of requests whose names do not arrive: those that SDKs send.
const SENT: HeaderValue = HeaderValue::from_static(
    "amz-sdk-invocation-id, amz-sdk-request, authorization, content-type, x-amz-content-sha256, x-amz-date, \
     x-amz-security-token, x-amz-user-agent",
);
/// How long a browser may keep what a preflight said: ten minutes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

impl Cors {
    /// These origins.
    ///
    /// # Errors
    /// The first that is not a scheme, a host and perhaps a port, in a sentence.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |origin: &str| {
            let refused = || {
                format!(
                    "{} is not an origin as browsers send it, such as \"https://app.example.com\" (a scheme and a host in \
                     small letters, perhaps a port, and no path)",
                    pinport_model::failure::quoted(origin)
                )
            };
            let rest = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            let is_host = |rest: &str| {
                !rest.is_empty()
                    && rest.bytes().all(
                        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']'),
                    )
            };
            rest.filter(|rest| is_host(rest)).ok_or_else(refused)?;
            HeaderValue::try_from(origin).map_err(|_| refused())
        };
        Ok(Self { origins: origins.into_iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Whether a page of this origin may call.
    pub(super) fn admits(&self, origin: &HeaderValue) -> bool {
        self.origins.contains(origin)
    }

    /// The answer to a browser that asks whether it may send a request. It has no signature: browsers send none with it.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<[(HeaderName, HeaderValue); 3]> {
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && parts.headers.get(header::ORIGIN).is_some_and(|origin| self.admits(origin));
        asks.then(|| {
            let headers = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(SENT);
            [
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ]
        })
    }

    /// Marks an answer, whatever it is: errors too are for the page to read. What a cache keeps depends on the origin,
    /// also when the request has none.
    pub(crate) fn mark(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.admits(origin)) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        assert!(Cors::new(["https://app.example.com", "http://localhost:3000", "http://[::1]:80"]).is_ok());
        for wrong in
            ["*", "", "null", "app.example.com", "https://", "https://a/", "https://A", "https://a b"]
        {
            let said = Cors::new(["https://a", wrong]).unwrap_err();
            assert!(said.contains("is not an origin"), "{wrong}: {said}");
        }
    }
}
