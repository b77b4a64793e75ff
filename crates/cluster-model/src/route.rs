//! What leads to Services from outside: Ingresses and the Gateway API's routes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::identity::ObjectKey;

/// An Ingress or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which object.
    pub key: ObjectKey,
    /// Its kind.
    pub kind: &'static str,
    /// The Services that it leads to.
    pub services: BTreeSet<ObjectKey>,
}

impl Route {
    /// Reads an Ingress of `networking.k8s.io/v1`.
    pub fn of_ingress(object: &Value) -> Self {
        let key = key_of(object);
        let mut services = BTreeSet::new();
        let mut add = |backend: Option<&Value>| {
            let name = backend.and_then(|backend| backend.pointer("/service/name")).and_then(Value::as_str);
            services.extend(name.map(|name| ObjectKey::new(&key.namespace, name)));
        };
        add(object.pointer("/spec/defaultBackend"));
        for path in each(object, "/spec/rules").flat_map(|rule| each(rule, "/http/paths")) {
            add(path.pointer("/backend"));
        }
        Self { key, kind: "Ingress", services }
    }

    /// Reads a HTTPRoute of `gateway.networking.k8s.io/v1`, which may lead into other namespaces.
    pub fn of_http_route(object: &Value) -> Self {
        let key = key_of(object);
        let backends = each(object, "/spec/rules").flat_map(|rule| each(rule, "/backendRefs"));
        let text = |backend: &Value, field: &str| backend.get(field).and_then(Value::as_str).map(str::to_owned);
        let services = backends
            .filter(|backend| text(backend, "kind").is_none_or(|kind| kind == "Service"))
            .filter_map(|backend| {
                let namespace = text(backend, "namespace").unwrap_or_else(|| key.namespace.clone());
                Some(ObjectKey::new(namespace, text(backend, "name")?))
            })
            .collect();
        Self { key, kind: "HTTPRoute", services }
    }
}

fn key_of(object: &Value) -> ObjectKey {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    ObjectKey::new(text("/metadata/namespace"), text("/metadata/name"))
}

fn each<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_services_behind_are_found() {
        let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
        let ingress = Route::of_ingress(&json!({
            "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"defaultBackend": backend("rest"), "rules": [{"http": {"paths": [{"path": "/", "backend": backend("web")}]}}]},
        }));
        let route = Route::of_http_route(&json!({
            "metadata": {"namespace": "shop", "name": "api"},
            "spec": {"rules": [{"backendRefs": [
                {"name": "api"}, {"name": "far", "namespace": "other"}, {"kind": "Bucket", "name": "files"},
            ]}]},
        }));
        let key = ObjectKey::new;
        assert_eq!(ingress.services, BTreeSet::from([key("shop", "rest"), key("shop", "web")]));
        assert_eq!(route.services, BTreeSet::from([key("shop", "api"), key("other", "far")]));
    }
}
