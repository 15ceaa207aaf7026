#!/usr/bin/env bash
# Prints the rules as an object for the Prometheus operator, which is deploy/kubernetes/components/monitoring/rules.yaml:
# the same text, further in. `make generate` writes it, and the check of deploy/ compares it.
set -euo pipefail
cd "$(dirname "$0")/rules"
cat <<'HEAD'
# Made by deploy/prometheus/kubernetes.sh from deploy/prometheus/rules, for `make generate` to renew: edit those. What is a
# site's own, such as where its people read the runbooks, is patched in an overlay (docs/OPERATIONS.md says how).
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: deed
  labels:
    app.kubernetes.io/name: deed
spec:
  groups:
HEAD
# What an overlay patches has to stay in its place: first.
for file in site.yaml *.yaml; do
    [ "$file" != site.yaml ] || [ -z "${begun-}" ] || continue
    begun=yes
    sed -e '/^groups:$/d' -e 's/^#/  #/' -e '/./s/^/  /' "$file"
done
