//! One request, and what the API server makes of it.

use api_access::{ApiAccess, Patience};
use e2e::{ControlPlane, Namespace};
use node_pools::address::Resource;
use node_pools::step::Step;
use node_pools_runner::send::{Mode, Sent, send};
use serde_json::{Value, json};

use crate::objects::get;

/// An edit of a node's taints that goes by what somebody has read.
async fn edited(access: &ApiAccess, name: &str, read: &Value, operation: Value) -> Result<Sent, String> {
    let patch = json!([{ "op": "test", "path": "/spec/taints", "value": read }, operation]);
    let step = Step::Edit { target: Resource::nodes().at(None, name), patch, what: "its taints".to_owned() };
    send(access, &step, Mode::Real).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_edit_of_what_has_changed_since_is_told_from_an_edit_that_is_wrong() {
    let ns = Namespace::fresh(ControlPlane::shared(), "sending").await;
    let name = ns.node("node").taint("dedicated", "shop", "NoSchedule").create().await;
    let access = ApiAccess {
        client: ns.client(),
        request_timeout: None,
        field_manager: "handover-test".to_owned(),
        chunk_size: 500,
        patience: Patience::new(|_| ()),
    };
    let taints = get(&ns, "nodes", &name).await.unwrap()["spec"]["taints"].clone();
    let put = |taints: Value| json!({ "op": "replace", "path": "/spec/taints", "value": taints });
    let mine = json!([{ "key": "mine", "effect": "NoSchedule" }]);

    for read in [Value::Null, json!([]), mine.clone()] {
        let moved = edited(&access, &name, &read, put(mine.clone())).await.unwrap();
        assert!(matches!(moved, Sent::Moved(_)), "after a test of {read}");
    }
    let wrong = json!([{ "key": "mine", "effect": "Never" }]);
    let refused = edited(&access, &name, &taints, put(wrong)).await.unwrap_err();
    assert!(refused.contains("Unsupported value: \"Never\""), "{refused}");
    assert_eq!(get(&ns, "nodes", &name).await.unwrap()["spec"]["taints"], taints);

    let done = edited(&access, &name, &taints, put(mine.clone())).await.unwrap();
    assert!(matches!(done, Sent::Done(_)), "{done:?}");
    let removed = edited(&access, &name, &mine, json!({ "op": "remove", "path": "/spec/taints" })).await.unwrap();
    assert!(matches!(removed, Sent::Done(_)), "{removed:?}");
    let moved = edited(&access, &name, &mine, put(taints.clone())).await.unwrap();
    assert!(matches!(moved, Sent::Moved(_)), "{moved:?}");
    let done = edited(&access, &name, &Value::Null, put(taints)).await.unwrap();
    assert!(matches!(done, Sent::Done(_)), "nothing was read, and nothing is there: {done:?}");
}
