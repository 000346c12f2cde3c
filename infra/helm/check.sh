#!/usr/bin/env bash
# Lints the chart and renders it to stdout with each file of values in user-profile/examples. With kubeconform on PATH
# (it downloads the schemas of Kubernetes) what is rendered is held against them. Needs Helm 3.
set -euo pipefail
cd "$(dirname "$0")/user-profile"
version=${KUBERNETES_VERSION:-1.31.0}
for values in examples/*.yaml; do
    helm lint --strict --quiet --kube-version "$version" --values "$values" . >&2
    rendered=$(helm template up . --namespace profiles --kube-version "$version" --values "$values" 2>/dev/null)
    printf '%s\n' "$rendered"
    if [ -z "${WITHOUT_SCHEMAS:-}" ] && command -v kubeconform >/dev/null; then
        # Custom resources of KEDA and Prometheus' operator have no schema there.
        kubeconform -strict -summary -ignore-missing-schemas -kubernetes-version "$version" <<<"$rendered" >&2
    fi
done
