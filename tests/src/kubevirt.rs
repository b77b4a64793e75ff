//! A stand-in for KubeVirt on the tests' control plane. It is no KubeVirt: it plays virt-api, virt-controller and
//! virt-handler, faithful to what the genuine ones were seen to do, and runs no guest.
//!
//! | module | what it plays |
//! |---|---|
//! | `definitions` | the custom resources, from KubeVirt's published description |
//! | `install` | virt-operator: what an installation puts into the cluster |
//! | `virt_api` | virt-api: webhooks and subresources |
//! | [`controller`] | virt-controller and virt-handler: launchers, evacuations, migrations, and how guests behave |
//! | [`machine`] | nothing: builders of nodes and machines for tests |
//!
//! Each rule names its source: `OBSERVED` is what the genuine virt-api and virt-controller were seen to do (on a real
//! API server, KubeVirt's main of 2026-08-22, just after v1.9.0), `reference` is what their source says.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that a JSON object has not is null, and the objects that are indexed for writing are objects"
)]

pub mod controller;
mod definitions;
mod install;
pub mod machine;
mod virt_api;

use std::thread;

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::tls_server::{Endpoint, Server};
use controller::{Controller, ControllerSetup};
use virt_api::VirtApi;

/// The namespace in which KubeVirt is installed.
pub const NAMESPACE: &str = "kubevirt";

/// What KubeVirt is installed with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The version that the KubeVirt object shows, for example `v1.9.0`. Before v1.7 there is no `evacuate/cancel`.
    pub version: String,
    /// The eviction strategy of VMIs that name none.
    pub eviction_strategy: String,
    /// How many migrations may run in the cluster.
    pub parallel_migrations_per_cluster: u32,
    /// How many migrations may run from one node.
    pub parallel_outbound_migrations_per_node: u32,
    /// How virt-controller and virt-handler run; without them objects stay as a test writes them.
    pub controllers: Option<ControllerSetup>,
}

/// The accounts as which the stand-in's parts act; what they write of a VMI's status stays (reference 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// virt-api.
    Api,
    /// virt-controller.
    Controller,
    /// virt-handler.
    Handler,
}

/// An installed stand-in. It ends when this is dropped; what it put into the cluster stays.
#[derive(Debug)]
pub struct KubeVirt {
    control_plane: ControlPlane,
    controller: Option<Controller>,
    virt_api: Option<Server>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Default for Setup {
    /// Returns what a new KubeVirt is set to (reference 3.2 and 0).
    fn default() -> Self {
        Self {
            version: String::from("v1.9.0"),
            eviction_strategy: String::from("None"),
            parallel_migrations_per_cluster: 5,
            parallel_outbound_migrations_per_node: 2,
            controllers: Some(ControllerSetup::default()),
        }
    }
}

impl Setup {
    fn of_shared() -> Self {
        Self {
            parallel_migrations_per_cluster: 1000,
            controllers: Some(ControllerSetup { time_divisor: 40 }),
            ..Self::default()
        }
    }

    /// Returns the default setup without virt-controller and the node side: objects stay as a test writes them.
    pub fn only_virt_api() -> Self {
        Self { controllers: None, ..Self::default() }
    }

    /// Returns it as `.spec.configuration` of the KubeVirt object.
    fn configuration(&self) -> Value {
        json!({
            "evictionStrategy": self.eviction_strategy,
            "migrations": {
                "parallelMigrationsPerCluster": self.parallel_migrations_per_cluster,
                "parallelOutboundMigrationsPerNode": self.parallel_outbound_migrations_per_node,
            },
        })
    }
}

impl Account {
    /// Returns the user's name, as in `request.userInfo.username`.
    pub fn user_name(self) -> &'static str {
        match self {
            Self::Api => "system:serviceaccount:kubevirt:kubevirt-apiserver",
            Self::Controller => "system:serviceaccount:kubevirt:kubevirt-controller",
            Self::Handler => "system:serviceaccount:kubevirt:kubevirt-handler",
        }
    }

    /// Returns a client that acts as this account, with every right.
    pub async fn client(self, control_plane: &ControlPlane) -> Client {
        control_plane.client_acting_as(self.user_name(), "system:masters").await
    }
}

impl KubeVirt {
    /// Installs the stand-in and returns once it answers. A cluster with a genuine KubeVirt is refused.
    pub async fn install(control_plane: &ControlPlane, setup: Setup) -> Self {
        let client = control_plane.client().await;
        install::refuse_genuine(&client).await;
        install::custom_resources(&client).await;
        install::kubevirt_object(&client, &setup).await;
        let endpoint = Endpoint::on_free_port();
        let (port, certificate) = (endpoint.port(), endpoint.certificate().to_owned());
        let (server, serving) = Server::new(endpoint);
        let of_thread = control_plane.clone();
        let thread = thread::Builder::new()
            .name(String::from("kubevirt-stand-in"))
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime of the stand-in's own can be made");
                runtime.block_on(async move {
                    let virt_api = VirtApi::new(&of_thread).await;
                    let answer = move |request| {
                        let virt_api = virt_api.clone();
                        async move { virt_api.answer(request).await }
                    };
                    serving.run(answer).await;
                });
            })
            .expect("a thread can be started");
        server.listens(true).await;
        install::virt_api(&client, port, &certificate).await;
        let controller = setup.controllers.map(|setup| Controller::start(control_plane, setup));
        Self { control_plane: control_plane.clone(), controller, virt_api: Some(server), thread: Some(thread) }
    }

    /// Returns the stand-in on the control plane of this test process, installed on first use. KubeVirt's own waits are
    /// a fortieth of the real ones there, and no test waits for the migrations of another one: the cluster's limit of
    /// parallel migrations is out of reach. The limit of each node is the real one.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<KubeVirt> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::install(ControlPlane::shared(), Setup::of_shared())).await
    }

    /// Returns the control plane on which it is installed.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Returns virt-api's address, as the API server's messages show it: `127.0.0.1:PORT`.
    pub fn virt_api_address(&self) -> String {
        self.server().address()
    }

    /// Stops virt-api as if all its pods were gone: connections are refused. For a control plane of the test's own.
    pub async fn stop_virt_api(&self) {
        self.server().want(false).await;
    }

    /// Starts virt-api again, at the same address; returns once the API server reaches it.
    pub async fn start_virt_api(&self) {
        self.server().want(true).await;
        let client = self.control_plane.client().await;
        install::look_at_api_service(&client, "virt-api has been started again").await;
        install::subresources_answer(&client).await;
    }

    /// Shows another version in the KubeVirt object, and behaves like it where this module knows a difference. For a
    /// control plane of the test's own.
    pub async fn set_version(&self, version: &str) {
        let client = self.control_plane.client().await;
        install::write_status(&client, version).await;
        install::look_at_api_service(&client, version).await;
    }

    /// Merges `configuration` into `.spec.configuration` of the KubeVirt object; it holds at once. For a control plane
    /// of the test's own.
    pub async fn configure(&self, configuration: Value) {
        let api = kubevirt_objects(self.control_plane.client().await);
        let patch = json!({ "spec": { "configuration": configuration } });
        api.patch(install::KUBEVIRT, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap_or_else(|error| panic!("configure KubeVirt: {error}"));
    }

    /// Returns the refusals that virt-controller and virt-handler got and did not expect, for a message of a test.
    pub fn complaints(&self) -> Vec<String> {
        self.controller.as_ref().map(Controller::complaints).unwrap_or_default()
    }

    /// Returns when virt-controller wrote that a migration (by its uid) is in a phase, "" for the one in which it is made. What a
    /// watch shows of it comes later.
    pub fn entered(&self, migration: &str, phase: &str) -> Instant {
        let entered = self.controller.as_ref().and_then(|controller| controller.entered(migration, phase));
        entered.unwrap_or_else(|| panic!("migration {migration} was never {phase:?}"))
    }

    /// Takes away what would make the API server ask a stand-in that has ended: for a cluster that outlives it.
    pub async fn take_away_webhooks(self) {
        install::take_away_virt_api(&self.control_plane.client().await).await;
    }

    fn server(&self) -> &Server {
        self.virt_api.as_ref().expect("the server is there until this is dropped")
    }
}

impl Drop for KubeVirt {
    fn drop(&mut self) {
        drop(self.controller.take());
        // The thread ends when nobody is left who could want anything of it.
        drop(self.virt_api.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn kubevirt_objects(client: Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kubevirt.io", "v1", "KubeVirt"));
    Api::namespaced_with(client, NAMESPACE, &resource)
}
