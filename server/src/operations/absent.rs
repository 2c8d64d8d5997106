//! The operations of Amazon Pinpoint that pinport does not have, so that a call of one is answered as that (405, with
//! its name) and not as a thing that is not there (404): programs create what a 404 says is missing.

/// A path, and what each of its methods is called.
type Path = (&'static str, &'static [(&'static str, &'static str)]);

/// By path, as in the service model (version 2016-12-01).
#[rustfmt::skip]
pub(super) const ABSENT: &[Path] = &[
    ("/v1/apps/{application-id}/campaigns", &[("POST", "CreateCampaign")]),
    ("/v1/apps/{application-id}/campaigns/{campaign-id}", &[("DELETE", "DeleteCampaign"), ("GET", "GetCampaign"), ("PUT", "UpdateCampaign")]),
    ("/v1/apps/{application-id}/campaigns/{campaign-id}/activities", &[("GET", "GetCampaignActivities")]),
    ("/v1/apps/{application-id}/campaigns/{campaign-id}/kpis/daterange/{kpi-name}", &[("GET", "GetCampaignDateRangeKpi")]),
    ("/v1/apps/{application-id}/campaigns/{campaign-id}/versions", &[("GET", "GetCampaignVersions")]),
    ("/v1/apps/{application-id}/campaigns/{campaign-id}/versions/{version}", &[("GET", "GetCampaignVersion")]),
    ("/v1/apps/{application-id}/channels/adm", &[("DELETE", "DeleteAdmChannel"), ("GET", "GetAdmChannel"), ("PUT", "UpdateAdmChannel")]),
    ("/v1/apps/{application-id}/channels/apns", &[("DELETE", "DeleteApnsChannel"), ("GET", "GetApnsChannel"), ("PUT", "UpdateApnsChannel")]),
    ("/v1/apps/{application-id}/channels/apns_sandbox", &[("DELETE", "DeleteApnsSandboxChannel"), ("GET", "GetApnsSandboxChannel"), ("PUT", "UpdateApnsSandboxChannel")]),
    ("/v1/apps/{application-id}/channels/apns_voip", &[("DELETE", "DeleteApnsVoipChannel"), ("GET", "GetApnsVoipChannel"), ("PUT", "UpdateApnsVoipChannel")]),
    ("/v1/apps/{application-id}/channels/apns_voip_sandbox", &[("DELETE", "DeleteApnsVoipSandboxChannel"), ("GET", "GetApnsVoipSandboxChannel"), ("PUT", "UpdateApnsVoipSandboxChannel")]),
    ("/v1/apps/{application-id}/channels/baidu", &[("DELETE", "DeleteBaiduChannel"), ("GET", "GetBaiduChannel"), ("PUT", "UpdateBaiduChannel")]),
    ("/v1/apps/{application-id}/channels/email", &[("DELETE", "DeleteEmailChannel"), ("GET", "GetEmailChannel"), ("PUT", "UpdateEmailChannel")]),
    ("/v1/apps/{application-id}/channels/gcm", &[("DELETE", "DeleteGcmChannel"), ("GET", "GetGcmChannel"), ("PUT", "UpdateGcmChannel")]),
    ("/v1/apps/{application-id}/channels/sms", &[("DELETE", "DeleteSmsChannel"), ("GET", "GetSmsChannel"), ("PUT", "UpdateSmsChannel")]),
    ("/v1/apps/{application-id}/channels/voice", &[("DELETE", "DeleteVoiceChannel"), ("GET", "GetVoiceChannel"), ("PUT", "UpdateVoiceChannel")]),
    ("/v1/apps/{application-id}/endpoints/{endpoint-id}/inappmessages", &[("GET", "GetInAppMessages")]),
    ("/v1/apps/{application-id}/eventstream", &[("DELETE", "DeleteEventStream"), ("POST", "PutEventStream")]),
    ("/v1/apps/{application-id}/journeys", &[("POST", "CreateJourney")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}", &[("DELETE", "DeleteJourney"), ("GET", "GetJourney"), ("PUT", "UpdateJourney")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/activities/{journey-activity-id}/execution-metrics", &[("GET", "GetJourneyExecutionActivityMetrics")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/execution-metrics", &[("GET", "GetJourneyExecutionMetrics")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/kpis/daterange/{kpi-name}", &[("GET", "GetJourneyDateRangeKpi")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/runs", &[("GET", "GetJourneyRuns")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/runs/{run-id}/activities/{journey-activity-id}/execution-metrics", &[("GET", "GetJourneyRunExecutionActivityMetrics")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/runs/{run-id}/execution-metrics", &[("GET", "GetJourneyRunExecutionMetrics")]),
    ("/v1/apps/{application-id}/journeys/{journey-id}/state", &[("PUT", "UpdateJourneyState")]),
    ("/v1/apps/{application-id}/kpis/daterange/{kpi-name}", &[("GET", "GetApplicationDateRangeKpi")]),
    ("/v1/apps/{application-id}/messages", &[("POST", "SendMessages")]),
    ("/v1/apps/{application-id}/otp", &[("POST", "SendOTPMessage")]),
    ("/v1/apps/{application-id}/users-messages", &[("POST", "SendUsersMessages")]),
    ("/v1/apps/{application-id}/verify-otp", &[("POST", "VerifyOTPMessage")]),
    ("/v1/recommenders", &[("POST", "CreateRecommenderConfiguration")]),
    ("/v1/recommenders/{recommender-id}", &[("DELETE", "DeleteRecommenderConfiguration"), ("GET", "GetRecommenderConfiguration"), ("PUT", "UpdateRecommenderConfiguration")]),
    ("/v1/templates/{template-name}/email", &[("POST", "CreateEmailTemplate"), ("DELETE", "DeleteEmailTemplate"), ("GET", "GetEmailTemplate"), ("PUT", "UpdateEmailTemplate")]),
    ("/v1/templates/{template-name}/inapp", &[("POST", "CreateInAppTemplate"), ("DELETE", "DeleteInAppTemplate"), ("GET", "GetInAppTemplate"), ("PUT", "UpdateInAppTemplate")]),
    ("/v1/templates/{template-name}/push", &[("POST", "CreatePushTemplate"), ("DELETE", "DeletePushTemplate"), ("GET", "GetPushTemplate"), ("PUT", "UpdatePushTemplate")]),
    ("/v1/templates/{template-name}/sms", &[("POST", "CreateSmsTemplate"), ("DELETE", "DeleteSmsTemplate"), ("GET", "GetSmsTemplate"), ("PUT", "UpdateSmsTemplate")]),
    ("/v1/templates/{template-name}/voice", &[("POST", "CreateVoiceTemplate"), ("DELETE", "DeleteVoiceTemplate"), ("GET", "GetVoiceTemplate"), ("PUT", "UpdateVoiceTemplate")]),
    ("/v1/templates/{template-name}/{template-type}/active-version", &[("PUT", "UpdateTemplateActiveVersion")]),
    ("/v1/templates/{template-name}/{template-type}/versions", &[("GET", "ListTemplateVersions")]),
];
