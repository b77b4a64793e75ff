//! The custom resources, with the names and subresources of KubeVirt's.

use e2e::{KubeVirt, Kubectl, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;

#[tokio::test]
async fn short_names_are_kubevirts() {
    let kubevirt = KubeVirt::shared().await;
    let ns = Namespace::fresh(kubevirt.control_plane(), "kv-names").await;
    for name in ["vm", "vms", "vmi", "vmis", "vmim", "vmims", "vmirs", "kv", "vmpool", "migrationpolicies"] {
        let run = Kubectl::run(&ns, ["get", name, "--output=name"]).await.expect_code(0);
        assert_eq!(run.stdout, "", "{name}");
    }
}

#[tokio::test]
async fn a_vmi_has_no_status_subresource() {
    let kubevirt = KubeVirt::shared().await;
    let client = kubevirt.control_plane().client().await;
    let resources: APIResourceList = client.list_api_group_resources("kubevirt.io/v1").await.unwrap();
    let mut names: Vec<&str> = resources.resources.iter().map(|resource| resource.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "kubevirts",
            "kubevirts/status",
            "virtualmachineinstancemigrations",
            "virtualmachineinstancemigrations/status",
            "virtualmachineinstancereplicasets",
            "virtualmachineinstancereplicasets/scale",
            "virtualmachineinstancereplicasets/status",
            "virtualmachineinstances",
            "virtualmachines",
            "virtualmachines/status",
        ]
    );
}
