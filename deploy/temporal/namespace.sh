#!/bin/sh
# Creates the namespace that TEMPORAL_NAMESPACE names on the server at TEMPORAL_ADDRESS, unless it is there.
# RETENTION: how long the histories of ended jobs are kept; the records keep the jobs themselves for ever.
set -eu

attempts=0
until temporal operator cluster health; do
  attempts=$((attempts + 1))
  if [ "$attempts" -ge 30 ]; then
    echo "the Temporal server at $TEMPORAL_ADDRESS does not become healthy" >&2
    exit 1
  fi
  sleep 2
done

if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  echo "namespace $TEMPORAL_NAMESPACE is there"
else
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
fi
