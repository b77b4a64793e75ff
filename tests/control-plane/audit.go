package main

// auditPolicy records what tests and the plugins under test ask for, and nothing of the cluster's own traffic. Changes
// are recorded with their bodies, reads without.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users:
  - control-plane
  - kwok
  - system:anonymous
  - system:apiserver
  - system:kube-controller-manager
  - system:kube-scheduler
- level: None
  userGroups: [system:serviceaccounts]
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
`
