// The AWS SDK for JavaScript v3. Each function is a case; docs/compat.md names them. Prints `ok NAME` or
// `FAILED NAME: why`, one line a case, for ../run.

import assert from "node:assert/strict";
import * as pinpoint from "@aws-sdk/client-pinpoint";

const env = (name) => process.env[`CLIENTS_${name}`];
const key = (name) => ({ accessKeyId: env(`${name}_ID`), secretAccessKey: env(`${name}_SECRET`) });
const ODD_IDS = ["user@example.com/+1", "a b", "100%", "ü/日本", "a?b#c&d=e", "!'()*", "%2F"];

function client({ url = env("OPEN"), credentials = key("ADMIN"), maxAttempts = 1, ...more } = {}) {
  return new pinpoint.Pinpoint({ endpoint: url, region: "us-east-1", credentials, maxAttempts, ...more });
}

async function fails(kind, status, call) {
  try {
    const answer = await call;
    assert.fail(`${kind} was expected, the answer is ${JSON.stringify(answer)}`);
  } catch (error) {
    assert.equal(error.name, kind, String(error));
    assert.equal(error.$metadata.httpStatusCode, status);
    assert.ok(error.message && error.$metadata.requestId, "a message and a request id");
    if (pinpoint[kind]) {
      assert.ok(error instanceof pinpoint[kind], `it is not an instance of ${kind}`);
      assert.equal(error.RequestID, error.$metadata.requestId);
    }
    return error;
  }
}

async function createApp(c, Name) {
  return (await c.createApp({ CreateApplicationRequest: { Name } })).ApplicationResponse;
}

function jobRequest(ApplicationId, S3Url, Format, more = {}) {
  return { ApplicationId, ImportJobRequest: { Format, S3Url, RoleArn: env("ROLE"), ...more } };
}

async function createJob(c, ...request) {
  return (await c.createImportJob(jobRequest(...request))).ImportJobResponse;
}

async function wait(c, ApplicationId, JobId, ends = ["COMPLETED", "FAILED"]) {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const job = (await c.getImportJob({ ApplicationId, JobId })).ImportJobResponse;
    if (ends.includes(job.JobStatus)) return job;
  }
  assert.fail(`job ${JobId} has not ended`);
}

async function imports_and_lists() {
  const c = client();
  const app = (await createApp(c, "js-imports")).Id;
  const made = [];
  for (const format of ["CSV", "JSON"]) {
    for (const place of ["FILE", "S3"]) {
      const url = env(`${place}_${format}`);
      const job = await createJob(c, app, url, format, { DefineSegment: true, SegmentName: url });
      assert.equal(job.JobStatus, "CREATED");
      assert.deepEqual([job.Definition.S3Url, job.Definition.SegmentId, job.Definition.RegisterEndpoints], [url, job.Id, true]);
      const done = await wait(c, app, job.Id);
      const counts = [done.JobStatus, done.TotalProcessed, done.TotalFailures, done.Failures.length];
      const [read, failed] = [Number(env(`${format}_READ`)), Number(env(`${format}_FAILED`))];
      assert.deepEqual(counts, ["COMPLETED", read, failed, failed]);
      const segment = (await c.getSegment({ ApplicationId: app, SegmentId: job.Id })).SegmentResponse;
      assert.deepEqual([segment.SegmentType, segment.ImportDefinition.Size, segment.Version], ["IMPORT", Number(env(`${format}_MEMBERS`)), 1]);
      made.unshift(job.Id);
    }
  }
  const listed = [];
  let Token;
  do {
    const page = (await c.getImportJobs({ ApplicationId: app, PageSize: "3", Token })).ImportJobsResponse;
    listed.push(...page.Item.map((job) => job.Id));
    Token = page.NextToken;
  } while (Token);
  assert.deepEqual(listed, made);
  const ofSegment = (await c.getSegmentImportJobs({ ApplicationId: app, SegmentId: made[0] })).ImportJobsResponse;
  assert.deepEqual(ofSegment.Item.map((job) => job.Id), [made[0]]);
  assert.equal((await c.getSegmentVersions({ ApplicationId: app, SegmentId: made[0] })).SegmentsResponse.Item.length, 1);
  const version = { ApplicationId: app, SegmentId: made[0], Version: "1" };
  assert.equal((await c.getSegmentVersion(version)).SegmentResponse.Id, made[0]);
  assert.equal((await c.getSegments({ ApplicationId: app })).SegmentsResponse.Item.length, 4);
  assert.equal((await c.deleteSegment({ ApplicationId: app, SegmentId: made[0] })).SegmentResponse.Id, made[0]);
  for (const PageSize of ["0", "1001", "x"]) await fails("BadRequestException", 400, c.getImportJobs({ ApplicationId: app, PageSize }));
  await fails("BadRequestException", 400, c.getImportJobs({ ApplicationId: app, Token: "x" }));
}

async function endpoints_and_odd_ids() {
  for (const c of [client(), client({ url: env("KEYED") })]) {
    const app = (await createApp(c, "js-endpoints")).Id;
    for (const EndpointId of ODD_IDS) {
      const at = { ApplicationId: app, EndpointId };
      const user = `u ${EndpointId}`;
      const EndpointRequest = { ChannelType: "EMAIL", Address: "a@example.com", Metrics: { m: 1.5 }, User: { UserId: user } };
      assert.equal((await c.updateEndpoint({ ...at, EndpointRequest })).MessageBody.Message, "Accepted");
      const found = (await c.getEndpoint(at)).EndpointResponse;
      assert.deepEqual([found.Id, found.Metrics.m, found.User.UserId], [EndpointId, 1.5, user]);
      assert.equal((await c.getUserEndpoints({ ApplicationId: app, UserId: user })).EndpointsResponse.Item.length, 1);
      assert.equal((await c.deleteEndpoint(at)).EndpointResponse.Id, EndpointId);
      await fails("NotFoundException", 404, c.getEndpoint(at));
    }
    const Item = [0, 1].map((n) => ({ Id: `b${n}`, ChannelType: "SMS", Address: `+1202555010${n}`, User: { UserId: "b" } }));
    await c.updateEndpointsBatch({ ApplicationId: app, EndpointBatchRequest: { Item } });
    const gone = (await c.deleteUserEndpoints({ ApplicationId: app, UserId: "b" })).EndpointsResponse.Item;
    assert.deepEqual(gone.map((endpoint) => endpoint.Id).sort(), ["b0", "b1"]);
  }
}

async function apps_and_tags() {
  const c = client();
  const app = await createApp(c, "js-apps");
  assert.equal((await c.getApp({ ApplicationId: app.Id })).ApplicationResponse.Arn, app.Arn);
  assert.ok((await c.getApps({ PageSize: "1" })).ApplicationsResponse.NextToken);
  await c.tagResource({ ResourceArn: app.Arn, TagsModel: { tags: { a: "1", "b c": "ü" } } });
  await c.untagResource({ ResourceArn: app.Arn, TagKeys: ["a"] });
  assert.deepEqual((await c.listTagsForResource({ ResourceArn: app.Arn })).TagsModel.tags, { "b c": "ü" });
  await c.deleteApp({ ApplicationId: app.Id });
  await fails("NotFoundException", 404, c.getApp({ ApplicationId: app.Id }));
}

async function segments_of_dimensions() {
  const c = client();
  const app = (await createApp(c, "js-dimensions")).Id;
  const country = { DimensionType: "INCLUSIVE", Values: ["CAN"] };
  const request = { Name: "canada", Dimensions: { Location: { Country: country }, Metrics: { m: { ComparisonOperator: "EQUAL", Value: 1.5 } } } };
  const made = (await c.createSegment({ ApplicationId: app, WriteSegmentRequest: request })).SegmentResponse;
  assert.deepEqual([made.Dimensions.Location.Country, made.Dimensions.Metrics.m.Value, made.SegmentType], [country, 1.5, "DIMENSIONAL"]);
  const group = { SourceSegments: [{ Id: made.Id, Version: 1 }], SourceType: "NONE", Type: "ALL", Dimensions: [] };
  const SegmentGroups = { Groups: [group], Include: "ANY" };
  const rest = (await c.createSegment({ ApplicationId: app, WriteSegmentRequest: { SegmentGroups } })).SegmentResponse;
  assert.deepEqual(rest.SegmentGroups, SegmentGroups);
  const changed = (await c.updateSegment({ ApplicationId: app, SegmentId: made.Id, WriteSegmentRequest: { Name: "b" } })).SegmentResponse;
  assert.deepEqual([changed.Name, changed.Version, changed.Dimensions], ["b", 2, made.Dimensions]);
  const wrong = { Dimensions: { Behavior: { Recency: { Duration: "DAY_8", RecencyType: "ACTIVE" } } } };
  const error = await fails("BadRequestException", 400, c.createSegment({ ApplicationId: app, WriteSegmentRequest: wrong }));
  assert.match(error.message, /Dimensions.Behavior.Recency.Duration/);
}

async function errors() {
  const c = client();
  const app = (await createApp(c, "js-errors")).Id;
  const wrong = await fails("BadRequestException", 400, c.createImportJob(jobRequest(app, env("S3_CSV"), "JSON")));
  assert.match(wrong.message, /JSON/);
  await fails("BadRequestException", 400, c.createImportJob(jobRequest(app, env("S3_CSV"), "XML")));
  assert.notEqual((await createApp(c, "js-errors")).Id, app);
  await fails("MethodNotAllowedException", 405, c.getJourney({ ApplicationId: app, JourneyId: "x" }));
  const Item = [{ Id: "x", ChannelType: "EMAIL", Address: "x".repeat(1 << 22) }];
  const direct = client({ url: env("DIRECT") });
  const large = direct.updateEndpointsBatch({ ApplicationId: app, EndpointBatchRequest: { Item } });
  await fails("PayloadTooLargeException", 413, large);
  await fails("NotFoundException", 404, c.getImportJobs({ ApplicationId: "" }));
}

async function export_jobs() {
  const c = client();
  const ApplicationId = (await createApp(c, "js-export")).Id;
  const made = await createJob(c, ApplicationId, env("S3_JSON"), "JSON", { DefineSegment: true });
  const SegmentId = (await wait(c, ApplicationId, made.Id)).Definition.SegmentId;
  const S3UrlPrefix = env("S3_JSON").replace(/[^/]*$/, `out/${env("CLIENT")}/`);
  const ExportJobRequest = { RoleArn: env("ROLE"), S3UrlPrefix, SegmentId };
  let job = (await c.createExportJob({ ApplicationId, ExportJobRequest })).ExportJobResponse;
  assert.deepEqual([job.Type, job.Definition.S3UrlPrefix], ["EXPORT", S3UrlPrefix]);
  for (const end = Date.now() + 60_000; !["COMPLETED", "FAILED"].includes(job.JobStatus) && Date.now() < end; ) {
    job = (await c.getExportJob({ ApplicationId, JobId: job.Id })).ExportJobResponse;
  }
  assert.deepEqual([job.JobStatus, job.TotalProcessed], ["COMPLETED", Number(env("JSON_MEMBERS"))]);
  const ids = (answer) => answer.ExportJobsResponse.Item.map((found) => found.Id);
  assert.deepEqual(ids(await c.getExportJobs({ ApplicationId })), [job.Id]);
  assert.deepEqual(ids(await c.getSegmentExportJobs({ ApplicationId, SegmentId })), [job.Id]);
  const nowhere = { ...ExportJobRequest, S3UrlPrefix: "nowhere" };
  await fails("BadRequestException", 400, c.createExportJob({ ApplicationId, ExportJobRequest: nowhere }));
  await fails("NotFoundException", 404, c.getExportJob({ ApplicationId, JobId: made.Id }));
}

async function also_called() {
  const c = client();
  const ApplicationId = (await createApp(c, "js-also")).Id;
  const QuietTime = { Start: "22:00", End: "07:00" };
  const WriteApplicationSettingsRequest = { QuietTime };
  const kept = await c.updateApplicationSettings({ ApplicationId, WriteApplicationSettingsRequest });
  assert.deepEqual(kept.ApplicationSettingsResource.QuietTime, QuietTime);
  const found = await c.getApplicationSettings({ ApplicationId });
  assert.deepEqual(found.ApplicationSettingsResource, kept.ApplicationSettingsResource);
  assert.deepEqual((await c.getChannels({ ApplicationId })).ChannelsResponse, { Channels: {} });
  assert.deepEqual((await c.getCampaigns({ ApplicationId })).CampaignsResponse.Item, []);
  assert.deepEqual((await c.listJourneys({ ApplicationId })).JourneysResponse.Item, []);
  assert.deepEqual((await c.listTemplates({})).TemplatesResponse.Item, []);
  assert.deepEqual((await c.getRecommenderConfigurations({})).ListRecommenderConfigurationsResponse.Item, []);
  await fails("NotFoundException", 404, c.getEventStream({ ApplicationId }));
  const Endpoint = { Address: "a@x", ChannelType: "EMAIL", Attributes: { plan: ["x"], old: ["1"] } };
  const Events = { one: { EventType: "x", Timestamp: "2026-01-01T00:00:00Z" } };
  const put = await c.putEvents({ ApplicationId, EventsRequest: { BatchItem: { a: { Endpoint, Events } } } });
  assert.equal(put.EventsResponse.Results.a.EndpointItemResponse.StatusCode, 202);
  const UpdateAttributesRequest = { Blacklist: ["old"] };
  const AttributeType = "endpoint-custom-attributes";
  const removed = await c.removeAttributes({ ApplicationId, AttributeType, UpdateAttributesRequest });
  assert.deepEqual(removed.AttributesResource.Attributes, ["old"]);
  const left = (await c.getEndpoint({ ApplicationId, EndpointId: "a" })).EndpointResponse;
  assert.deepEqual(left.Attributes, { plan: ["x"] });
  const NumberValidateRequest = { IsoCountryCode: "US", PhoneNumber: "2065550142" };
  const number = (await c.phoneNumberValidate({ NumberValidateRequest })).NumberValidateResponse;
  assert.equal(number.CleansedPhoneNumberE164, "+12065550142");
}

async function access() {
  const url = env("KEYED");
  const admin = client({ url });
  const app = (await createApp(admin, "js-keyed")).Id;
  const job = await createJob(admin, app, env("S3_JSON"), "JSON", { DefineSegment: true });
  assert.equal((await wait(admin, app, job.Id)).JobStatus, "COMPLETED");
  const wrong = { ...key("ADMIN"), secretAccessKey: "wrong-secret-0123456789" };
  await fails("ForbiddenException", 403, client({ url, credentials: wrong }).getApps({}));
  const reader = client({ url, credentials: key("READER") });
  await reader.getApp({ ApplicationId: app });
  await fails("ForbiddenException", 403, reader.createApp({ CreateApplicationRequest: { Name: "x" } }));
  await fails("NotFoundException", 404, client({ url, credentials: key("TENANT") }).getApp({ ApplicationId: app }));
  const unsigned = { signer: { sign: async (request) => request } };
  await fails("ForbiddenException", 403, client({ url, ...unsigned }).getApps({}));
  await client(unsigned).getApps({});
}

async function too_many_requests() {
  const slow = client({ url: env("KEYED"), credentials: key("SLOW") });
  for (let n = 0; n < Number(env("BURST")); n++) await slow.getApps({});
  const error = await fails("TooManyRequestsException", 429, slow.getApps({}));
  assert.ok(Number(error.$response.headers["retry-after"]) >= 1);
}

async function cancelled_job() {
  const c = client();
  const app = (await createApp(c, "js-cancelled")).Id;
  const job = await createJob(c, app, "s3://silent/x", "JSON", { RoleArn: env("SILENT_ROLE") });
  const answer = await fetch(`${env("DIRECT")}/pinport/v1/jobs/${job.Id}/cancel`, { method: "POST" });
  assert.equal(answer.status, 200);
  const done = await wait(c, app, job.Id, ["COMPLETED", "FAILED", "CANCELLED"]);
  assert.equal(done.JobStatus, "CANCELLED");
}

async function retried_post() {
  const c = client({ maxAttempts: 3 });
  const app = (await createApp(c, "js-retried")).Id;
  await fetch(`${env("OPEN")}/break/CreateImportJob`, { method: "POST" });
  const answer = await c.createImportJob(jobRequest(app, env("FILE_CSV"), "CSV"));
  assert.equal(answer.$metadata.attempts, 2);
  const listed = (await c.getImportJobs({ ApplicationId: app })).ImportJobsResponse.Item;
  assert.deepEqual(listed.map((job) => job.Id), [answer.ImportJobResponse.Id]);
}

const cases = [imports_and_lists, endpoints_and_odd_ids, apps_and_tags, segments_of_dimensions, export_jobs, also_called, errors, access, too_many_requests, cancelled_job, retried_post];
for (const run of cases) {
  try {
    await run();
    console.log(`ok ${run.name}`);
  } catch (error) {
    console.log(`FAILED ${run.name}: ${String(error?.stack ?? error).replaceAll("\n", " | ").slice(0, 2000)}`);
  }
}
