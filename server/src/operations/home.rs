//! `/`: the page that a browser shows at the server's address. It names nothing that is the server's own.

use http::{HeaderName, HeaderValue};

use super::Routes;
use crate::http::{Response, Route};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pinport</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; color-scheme: light dark }
code { font-family: ui-monospace, monospace } dt { font-weight: 600; margin-top: .8rem } dd { margin: 0 }
</style>
<h1>pinport</h1>
<p>This address is an API, not a website: a self-hosted home for Amazon Pinpoint's import jobs. The AWS SDKs and the
AWS CLI talk to it as to Amazon Pinpoint, with <code>AWS_ENDPOINT_URL_PINPOINT</code> set to it.</p>
<dl>
<dt><a href="/openapi.json">/openapi.json</a></dt>
<dd>Every operation: the service's under <code>/v1</code>, pinport's own under <code>/pinport/v1</code>.</dd>
<dt><a href="/livez">/livez</a>, <a href="/readyz">/readyz</a></dt>
<dd>Whether the process answers, and whether jobs can run.</dd>
<dt><a href="/metrics">/metrics</a></dt>
<dd>For Prometheus, with a signature or the token of <code>[metrics]</code> once there are keys.
<code>examples/prometheus</code> and <code>examples/grafana.json</code> have rules and a dashboard.</dd>
<dt><code>pinport top --server</code> this address</dt>
<dd>The dashboard, in a terminal.</dd>
<dt><code>pinport --help</code>, <code>docs/</code></dt>
<dd>The documents come with the sources: <code>operating.md</code> for whoever runs it, <code>compat.md</code> for what is
covered, <code>security.md</code> for who may do what.</dd>
</dl>
</html>
"#;

const POLICY: HeaderName = HeaderName::from_static("content-security-policy");
/// Its own style, and nothing else.
const ONLY_STYLE: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");

pub(super) fn add(routes: &mut Routes) {
    routes.waiting(Route::new("GET", "/", "Home").public(), |_, _| async {
        Ok(Response::bytes("text/html; charset=utf-8", PAGE).with_header(POLICY, ONLY_STYLE))
    });
}
