//! The settings of an application, in the shapes of the service model. pinport keeps them and gives them back; it sends
//! nothing that they would apply to.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, criteria::object, endpoint::words};

words! {
    /// What a hook of campaigns is for.
    HookMode {
        /// It delivers.
        Delivery = "DELIVERY",
        /// It chooses among endpoints.
        Filter = "FILTER",
    }
}

/// What an application's settings are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub campaign_hook: Option<CampaignHook>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub journey_limits: Option<JourneyLimits>,
    /// When they were changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub limits: Option<CampaignLimits>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub quiet_time: Option<QuietTime>,
}

/// `CampaignHook`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct CampaignHook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_function_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<HookMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

/// `CampaignLimits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct CampaignLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_duration: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
}

/// `ApplicationSettingsJourneyLimits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct JourneyLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily_cap: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub timeframe_cap: Option<TimeframeCap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_cap: Option<i32>,
}

/// `JourneyTimeframeCap`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct TimeframeCap {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<i32>,
}

/// `QuietTime`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the members are the service model's")]
pub struct QuietTime {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

impl Settings {
    /// Takes what is given of others; what is not given stays.
    pub fn update(&mut self, given: Self, now: Timestamp) {
        let Self { campaign_hook, journey_limits, limits, quiet_time, .. } = given;
        self.campaign_hook = campaign_hook.or(self.campaign_hook.take());
        self.journey_limits = journey_limits.or(self.journey_limits.take());
        self.limits = limits.or(self.limits.take());
        self.quiet_time = quiet_time.or(self.quiet_time.take());
        self.last_modified_date = Some(now);
    }

    /// The texts among them, with their members.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let hook = self.campaign_hook.as_ref();
        let quiet = self.quiet_time.as_ref();
        [
            ("CampaignHook.LambdaFunctionName", hook.and_then(|hook| hook.lambda_function_name.as_deref())),
            ("CampaignHook.WebUrl", hook.and_then(|hook| hook.web_url.as_deref())),
            ("QuietTime.Start", quiet.and_then(|quiet| quiet.start.as_deref())),
            ("QuietTime.End", quiet.and_then(|quiet| quiet.end.as_deref())),
        ]
        .into_iter()
        .filter_map(|(member, text)| Some((member, text?)))
    }
}
