# shellcheck shell=bash
# Packages of another Debian suite or architecture, fetched and verified by the machine's apt, and unpacked: never
# installed. Sources, lists and cache are private.

# suite NAME ARCHITECTURE FOLDER: reads the lists of that suite; the other functions then ask it. ARCHITECTURE is
# Debian's name of it; FOLDER is for lists and packages.
suite() {
    local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$("$(dirname "${BASH_SOURCE[0]}")/../debian-mirror") || return 1
    suite_folder=$3
    mkdir -p "$3"/{lists,archives}/partial
    : >"$3/status"
    echo "deb [target=Packages$([ ! -e $keys ] || echo " signed-by=$keys")] $mirror $1 main" >"$3/sources.list"
    cat >"$3/apt.conf" <<END
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Dir::State::lists "$3/lists";
Dir::State::status "$3/status";
Dir::Cache "$3";
Dir::Etc::sourcelist "$3/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "$2";
APT::Architectures { "$2"; };
APT::Sandbox::User "$(id -un)";
APT::Install-Recommends "no";
Acquire::Languages "none";
Acquire::http::Timeout "20";
END
    apt-get -c "$3/apt.conf" update -q -o APT::Update::Error-Mode=any >"$3/said" 2>&1 || {
        echo "the mirror does not serve $1 for $2: $(grep -m 1 '^[EW]:' "$3/said")" >&2
        return 1
    }
}

# needed_by PACKAGE PATTERN: the package, and what it needs whose name matches, and so on; none twice.
needed_by() {
    apt-cache -c "$suite_folder/apt.conf" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$1" | grep -E "^$2" | sort -u
}

# unpack FOLDER PACKAGE...: downloads the packages, not what they need, and unpacks them into the folder.
unpack() {
    local folder=$1 package && shift
    mkdir -p "$folder" "$suite_folder/packages"
    (cd "$suite_folder/packages" && apt-get -c ../apt.conf download -q "$@" >../said 2>&1) || {
        echo "cannot fetch $*: $(tail -n 1 "$suite_folder/said")" >&2
        return 1
    }
    for package in "$suite_folder"/packages/*.deb; do
        # bin, lib and sbin are links into usr where the caller made them so.
        dpkg-deb --fsys-tarfile "$package" | tar --extract --keep-directory-symlink --directory "$folder" || return 1
    done
    rm -r "$suite_folder/packages"
}

# all_for PACKAGE...: the packages, and all that they need.
all_for() { apt-get -c "$suite_folder/apt.conf" --simulate install "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p'; }
