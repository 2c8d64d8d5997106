//! The part of [`crate::fuzzing`] that only this module can see.

use pinport_model::{PlannedObject, location::Service};

use super::{
    address::Address,
    profile::Profile,
    xml::{self, Next},
};
use crate::source::Settings;

/// The URL that an object of an S3 bucket on this machine is asked for at.
pub fn object_url(bucket: &str, key: &str) -> Result<String, String> {
    let settings = Settings::empty().with("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    Address::new(Service::S3, bucket, None, &settings, &Profile::default())?.url(Some(key), &[])
}

/// The objects on a page of a store's listing, and how to ask for the next page.
pub fn read_listing(body: &[u8]) -> Result<(Vec<PlannedObject>, Option<String>), String> {
    let text = |next| match next {
        Next::Token(text) | Next::Key(text) => text,
    };
    xml::page(body).map(|page| (page.objects, page.next.map(text)))
}
