//! What the API server answers to evictions that it refuses, and what each answer is taken for. The bodies are kept in
//! crates/cluster-model, whose own test reads them; here they are asked for again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use cluster_model::eviction_reply::classify;
use e2e::wait::DEADLINE;
use e2e::{ControlPlane, Denial, EvictionWebhook, Namespace, Roles};
use futures::future::join_all;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const WEBHOOK: &str = "evictions.handover.test";

/// The answers so far: what was done, the body, and what it is taken for.
struct Answers<'a> {
    ns: &'a Namespace,
    words: Vec<(String, &'static str)>,
    seen: Vec<Value>,
}

impl Answers<'_> {
    /// Asks for the eviction of a pod, which is refused.
    async fn refused(&mut self, case: &str, client: &Client, pod: &str) {
        self.refused_with(case, client, self.ns.name(), pod, json!({})).await;
    }

    async fn refused_with(&mut self, case: &str, client: &Client, namespace: &str, pod: &str, options: Value) {
        let (code, body) = evict(client, namespace, pod, &options, "").await;
        assert!(code >= 400, "{case}: {code} {body}");
        let by_client = by_client(client, namespace, pod, &options).await;
        self.note(case, &body, &by_client.expect(case));
    }

    /// Takes down a body, and what it is taken for as the plugin has it, by way of its client library.
    fn note(&mut self, case: &str, body: &Value, by_client: &Value) {
        let reading = classify(&serde_json::from_value(by_client.clone()).unwrap());
        let seen = if body.is_object() {
            assert_eq!(classify(&serde_json::from_value(body.clone()).unwrap()), reading, "{case}: {body}");
            json!({ "case": case, "body": body, "reading": reading })
        } else {
            // What is no document the library makes one of.
            json!({ "case": case, "text": body, "body": by_client, "reading": reading })
        };
        let mut text = seen.to_string();
        for (from, to) in &self.words {
            text = text.replace(from, to);
        }
        self.seen.push(serde_json::from_str(&text).unwrap());
    }

    /// Sends many evictions at a time until one finds no room in the API server: a priority level without any still
    /// takes one request at a time.
    async fn throttled(&mut self, case: &str, client: &Client) {
        let (namespace, options) = (self.ns.name(), json!({ "dryRun": ["All"] }));
        let (found, words) = (Cell::new(None), "Too many requests");
        e2e::eventually("an eviction finds no room", DEADLINE, || async {
            let many = join_all((0..20).map(|_| evict(client, namespace, "plain", &options, "?dryRun=All"))).await;
            let one = many.into_iter().map(|(_, body)| body).find(|body| body.to_string().contains(words));
            let is_found = one.is_some();
            found.set(one);
            is_found
        })
        .await;
        let read = Cell::new(None);
        e2e::eventually("the client's eviction finds no room", DEADLINE, || async {
            let many = join_all((0..20).map(|_| by_client(client, namespace, "plain", &options))).await;
            let one = many.into_iter().flatten().find(|status| status.to_string().contains(words));
            let is_found = one.is_some();
            read.set(one);
            is_found
        })
        .await;
        self.note(case, &found.take().unwrap(), &read.take().unwrap());
    }
}

/// Asks for an eviction by the client library; returns the refusal as it reads it, `None` where there is none.
async fn by_client(client: &Client, namespace: &str, pod: &str, options: &Value) -> Option<Value> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: options.get("dryRun").is_some(), ..PostParams::default() };
    let answer = pods.create_subresource::<_, Value>("eviction", pod, &params, &eviction(pod, options)).await;
    match answer {
        Err(kube::Error::Api(status)) => Some(serde_json::to_value(&status).unwrap()),
        Err(_) | Ok(_) => None,
    }
}

fn eviction(pod: &str, options: &Value) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod }, "deleteOptions": options })
}

/// Asks for an eviction; returns the status and the body, as JSON or as text.
async fn evict(client: &Client, namespace: &str, pod: &str, options: &Value, query: &str) -> (u16, Value) {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction{query}");
    let body = Body::from(eviction(pod, options).to_string().into_bytes());
    let request = http::Request::post(&path).header(CONTENT_TYPE, "application/json").body(body).unwrap();
    let response = client.send(request).await.expect(&path);
    let code = response.status().as_u16();
    let has_pause = response.headers().contains_key(RETRY_AFTER);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = || json!(String::from_utf8_lossy(&body).trim());
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| text());
    // A server that is too busy for a document says nowhere else when to ask again.
    assert!(code != 429 || body.is_object() || has_pause, "{path}: {body}");
    (code, body)
}

/// Lets nobody evict the pod `ruled`.
async fn rule(ns: &Namespace, client: &Client) {
    let spec = json!({
        "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                                                 "resources": ["pods/eviction"] }] },
        "matchConditions": [{ "name": "ruled", "expression": "request.name == 'ruled'" }],
        "validations": [{ "expression": "false", "message": "not on a Friday" }],
    });
    ns.create_policy("rule", spec).await;
    until_refused(client, ns.name(), "ruled", "not on a Friday").await;
}

/// Leaves evictions by one user no room in the API server at all.
async fn throttle(ns: &Namespace, user: &str) {
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": { "name": "none" },
        "spec": { "type": "Limited", "limited": { "nominalConcurrencyShares": 0, "lendablePercent": 0,
                                                  "borrowingLimitPercent": 0, "limitResponse": { "type": "Reject" } } },
    });
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": { "name": "none" },
        "spec": {
            "priorityLevelConfiguration": { "name": "none" }, "matchingPrecedence": 2,
            "rules": [{
                "subjects": [{ "kind": "User", "user": { "name": user } }],
                "resourceRules": [{ "verbs": ["create"], "apiGroups": [""], "resources": ["pods/eviction"], "namespaces": ["*"] }],
            }],
        },
    });
    for object in [level, schema] {
        ns.create(object).await;
    }
}

/// Rehearses an eviction until it is refused with these words: the server takes note of rules after a moment.
async fn until_refused(client: &Client, namespace: &str, pod: &str, words: &str) {
    e2e::eventually(words, DEADLINE, || async {
        evict(client, namespace, pod, &json!({}), "?dryRun=All").await.1.to_string().contains(words)
    })
    .await;
}

fn kept() -> Vec<Value> {
    let path = format!("{}/../crates/cluster-model/src/eviction_reply/replies.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn each_refusal_of_the_eviction_api_is_as_it_is_kept_and_taken_for_what_it_is() {
    let control_plane = ControlPlane::start();
    let ns = Namespace::fresh(&control_plane, "replies").await;
    let ending = Namespace::fresh(&control_plane, "ending").await;
    let node = ns.node("node").create().await;
    let pods =
        ["plain", "shut", "many", "late", "ruled", "held", "denied-429", "denied-400", "denied-403", "denied-500"];
    for pod in pods {
        let hold = if pod == "held" { json!(["handover.test/hold"]) } else { json!([]) };
        ns.pod(pod).on_node(&node).edit(|pod| pod["metadata"]["finalizers"] = hold).create().await;
    }
    // Of this budget there is something to say before there is a pod whose controller has no scale.
    ns.budget("later").max_unavailable(1).ready().await;
    let jobs = ["batch", "later"];
    for job in jobs {
        ns.job(job).create().await;
    }
    let on_node = |pod: &mut Value| {
        pod["spec"].as_object_mut().unwrap().remove("nodeSelector");
        pod["spec"]["nodeName"] = json!(node);
    };
    ending.pod("plain").edit(on_node).ready().await;
    ns.until("", "all pods are Ready", |found: &[Pod]| {
        found.len() == pods.len() + jobs.len() && found.iter().all(e2e::workload::is_pod_ready)
    })
    .await;
    ns.budget("shut").min_available(1).ready().await;
    ns.budget("many").min_available(0).ready().await;
    ns.budget("more").selecting(json!({ "app": "many" })).min_available(0).create().await;
    ns.budget("batch").max_unavailable(1).create().await;
    ns.until("", "budgets of Jobs cannot be computed", |budgets: &[PodDisruptionBudget]| {
        let is_failed = |budget: &&PodDisruptionBudget| {
            let conditions = budget.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.reason == "SyncFailed")
        };
        budgets.iter().filter(is_failed).count() == jobs.len()
    })
    .await;
    // Other clients ask again by themselves where they are told to come back later.
    let client = control_plane.forwarding_client(ns.user()).await;
    let (nobody, hasty) = (ns.limited_user(), ns.limited_user());
    let plain = ns.api::<Pod>().get("plain").await.unwrap();
    let of_job = async |job: &str| ns.pods(&format!("app={job}")).await.remove(0).name_any();
    let (batch, later) = (of_job("batch").await, of_job("later").await);
    let words = vec![
        (ns.name().to_owned(), "NAMESPACE"),
        (ending.name().to_owned(), "ENDING"),
        (plain.uid().unwrap(), "UID"),
        (nobody.name.clone(), "USER"),
    ];
    let mut answers = Answers { ns: &ns, words, seen: Vec::new() };

    answers.refused("no such pod", &client, "nothing").await;
    let wrong = json!({ "preconditions": { "uid": NOBODY } });
    answers.refused_with("another pod's uid", &client, ns.name(), "plain", wrong).await;
    answers.refused("a budget without room", &client, "shut").await;
    answers.refused("a budget that could never be computed", &client, &batch).await;
    answers.refused("a budget that cannot be computed any more", &client, &later).await;
    answers.refused("two budgets", &client, "many").await;
    let limited = control_plane.forwarding_client(&nobody).await;
    answers.refused("no right", &limited, "plain").await;
    rule(&ns, &client).await;
    answers.refused("an admission policy", &client, "ruled").await;
    // Who has every right is exempt.
    Roles::read("safedrain").only("handover-safedrain").bind(&ns, &hasty).await;
    let throttled = control_plane.forwarding_client(&hasty).await;
    throttle(&ns, &hasty.name).await;
    answers.throttled("priority and fairness without room", &throttled).await;

    let denial = |code: u16| (format!("denied-{code}"), Denial { code, message: String::from("not now") });
    let codes = [400, 403, 429, 500];
    let webhook = EvictionWebhook::start(&ns, WEBHOOK, codes.map(denial).into()).await;
    answers.words.push((webhook.address(), "ADDRESS"));
    for code in codes {
        answers.refused(&format!("a webhook, with {code}"), &client, &format!("denied-{code}")).await;
    }
    webhook.stop().await;
    // A connection that the API server has kept ends otherwise than one that it cannot make.
    until_refused(&client, ns.name(), "plain", "connect: connection refused").await;
    answers.refused("a webhook that is away", &client, "plain").await;
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/";
    let delete = http::Request::delete(format!("{webhooks}{}", ns.name())).body(Vec::new()).unwrap();
    client.request::<Value>(delete).await.unwrap();

    control_plane.stop("kube-controller-manager").await;
    ns.budget("late").min_available(0).create().await;
    until_refused(&client, ns.name(), "late", "still being processed").await;
    answers.refused("a budget that its controller has not looked at", &client, "late").await;
    Api::<CoreNamespace>::all(client.clone()).delete(ending.name(), &DeleteParams::default()).await.unwrap();
    until_refused(&client, ending.name(), "plain", "because it is being terminated").await;
    answers.refused_with("a namespace that is being deleted", &client, ending.name(), "plain", json!({})).await;

    // What is terminating already is evicted once more, whatever a budget says.
    ns.api::<Pod>().delete("held", &DeleteParams::default()).await.unwrap();
    let (code, body) = evict(&client, ns.name(), "held", &json!({}), "").await;
    assert_eq!((code, &body["status"]), (201, &json!("Success")), "{body}");

    let kept: BTreeMap<_, _> = kept().into_iter().map(|one| (one["case"].as_str().unwrap().to_owned(), one)).collect();
    let all = || serde_json::to_string_pretty(&answers.seen).unwrap();
    for seen in &answers.seen {
        let case = seen["case"].as_str().unwrap();
        assert_eq!(
            kept.get(case),
            Some(seen),
            "{case}: what was seen is not what is kept; all that was seen: {}",
            all()
        );
    }
    let others: Vec<_> = kept.values().filter(|one| one.get("notProvoked").is_none()).map(|one| &one["case"]).collect();
    assert_eq!(others.len(), answers.seen.len(), "all that is kept as seen was seen: {others:?}");
}
