#!/bin/sh
# Make sure that the servers the tests start are installed: MariaDB, Redis, and Chromium for pages.
set -eu
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
missing=
has mariadbd || has mysqld || missing="mariadb-server-core mariadb-client-core"
has mariadb-install-db || has mysql_install_db || missing="mariadb-server-core mariadb-client-core"
has redis-server || has valkey-server || missing="$missing redis-server"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "servers: installing $missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Debian starts a server that it installs; ours are private and start by themselves.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "servers: the tests need MariaDB and Redis. Install them:" >&2
    echo "  Debian, Ubuntu: sudo apt-get install $missing" >&2
    echo "  macOS:          brew install mariadb redis" >&2
    exit 1
fi
