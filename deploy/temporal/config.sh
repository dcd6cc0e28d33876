#!/bin/sh
# Writes the server's dynamic configuration to the folder given (/run/temporal), with the only `Host` that its HTTP port
# answers: a name that no web page can guess. It is made once, and kept with the folder. The listener in front of the
# Web UI reads it from the file `http-host` and sends it.
set -eu
umask 022
here=$(dirname "$0")
folder=${1:-/run/temporal}

if [ ! -s "$folder/http-host" ]; then
  random=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "$random.invalid" >"$folder/http-host.new"
  mv "$folder/http-host.new" "$folder/http-host"
fi
{
  cat "$here/dynamic-config.yaml"
  echo
  echo "frontend.httpAllowedHosts:"
  echo "  - value: [\"$(cat "$folder/http-host")\"]"
} >"$folder/dynamic-config.new"
mv "$folder/dynamic-config.new" "$folder/dynamic-config.yaml"
