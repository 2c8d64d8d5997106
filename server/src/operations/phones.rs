//! PhoneNumberValidate, by the numbering plans of libphonenumber: what a number says by itself. Carrier, city and zone are
//! not known without asking somebody.

use pinport_pipeline::phone::{Line, look};
use serde::{Deserialize, Serialize};

use super::{Api, Routes, imports::bounded};
use crate::{
    ApiError,
    http::{Request, Response, Route},
    limits::MAX_PHONE,
};

pub(super) fn add(routes: &mut Routes) {
    routes.blocking(Route::new("POST", "/v1/phone/number/validate", "PhoneNumberValidate"), validate);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NumberValidateRequest {
    iso_country_code: Option<String>,
    phone_number: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NumberValidateResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    cleansed_phone_number_e164: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleansed_phone_number_national: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code_iso2: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code_numeric: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_country_code_iso2: Option<String>,
    original_phone_number: String,
    phone_type: &'static str,
    phone_type_code: i32,
}

fn validate(_: &Api, request: &Request) -> Result<Response, ApiError> {
    let NumberValidateRequest { iso_country_code, phone_number } = request.json()?;
    let number = phone_number.filter(|number| !number.is_empty());
    let number = number.ok_or_else(|| ApiError::bad_request("PhoneNumber is missing or empty."))?;
    bounded("PhoneNumber", &number, MAX_PHONE)?;
    let country = iso_country_code.filter(|country| !country.is_empty());
    if let Some(code) = &country {
        bounded("IsoCountryCode", code, 2)?;
        if !code.bytes().all(|letter| letter.is_ascii_alphabetic()) {
            return Err(ApiError::bad_request(
                "IsoCountryCode is no country code of two letters, such as US.",
            ));
        }
    }
    let found = look(&number, country.as_deref());
    let (phone_type, phone_type_code) = match found.as_ref().map(|found| found.line) {
        Some(Line::Mobile) => ("MOBILE", 0),
        Some(Line::Landline) => ("LANDLINE", 1),
        Some(Line::Voip) => ("VOIP", 2),
        None => ("INVALID", 3),
        Some(Line::Other) => ("OTHER", 4),
    };
    Response::ok(&NumberValidateResponse {
        cleansed_phone_number_e164: found.as_ref().map(|found| found.e164.clone()),
        cleansed_phone_number_national: found.as_ref().map(|found| found.national.clone()),
        country: found.as_ref().and_then(|found| found.country_name.clone()),
        country_code_iso2: found.as_ref().and_then(|found| found.country),
        country_code_numeric: found.as_ref().map(|found| found.calling_code.to_string()),
        original_country_code_iso2: country,
        original_phone_number: number,
        phone_type,
        phone_type_code,
    })
}
