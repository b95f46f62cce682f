#!/bin/sh
# Check that the servers for the tests are installed: MariaDB, Redis, nginx, and Chromium for pages.
# Install missing ones as root on Debian and Ubuntu; elsewhere name them and fail.
set -eu
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ]; }
has_browser() {
    has chromium || has chromium-browser || has google-chrome ||
        [ -d "/Applications/Chromium.app" ] || [ -d "/Applications/Google Chrome.app" ]
}
missing=
has mariadbd || has mysqld || missing="mariadb-server-core mariadb-client-core"
has mariadb-install-db || has mysql_install_db || missing="mariadb-server-core mariadb-client-core"
has redis-server || has valkey-server || missing="$missing redis-server"
has nginx || missing="$missing nginx-light"
has_browser || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "servers: installing $missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Debian starts each server that it installs. Prevent that: the tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "servers: the tests need MariaDB, Redis, nginx and Chromium. Install what is missing:" >&2
    echo "  Debian, Ubuntu: sudo apt-get install $missing" >&2
    echo "  macOS:          brew install mariadb redis nginx && brew install --cask chromium" >&2
    exit 1
fi
