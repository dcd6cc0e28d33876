#!/bin/sh
# Creates Temporal's two databases and brings their schemas to this release. Running it again changes nothing.
set -eu

tool() {
  temporal-sql-tool --plugin postgres12 --ep "$SQL_HOST" -p 5432 -u "$SQL_USER" --db "$@"
}

tool temporal create
tool temporal setup-schema -v 0.0
tool temporal update-schema -d /etc/temporal/schema/postgresql/v12/temporal/versioned

tool temporal_visibility create
tool temporal_visibility setup-schema -v 0.0
tool temporal_visibility update-schema -d /etc/temporal/schema/postgresql/v12/visibility/versioned
