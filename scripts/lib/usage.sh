# shellcheck shell=bash
# The arguments that every script here treats alike. A script sources this file before it does anything else:
#
#   source "$(dirname "${BASH_SOURCE[0]}")/lib/usage.sh"
#
# The help of a script is the comment at its top, one screen at most. Its first indented line is its usage line.

script=$(realpath "$0")

# Prints the help.
help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$script"; }

# Ends the script because of argument $1: one line that names it and says what is wrong ($2), then the usage line.
refuse() {
    echo "${script##*/}: ${2:-unknown argument}: $1" >&2
    help | awk '/^  [^ ]/ { sub(/^ +/, "usage: "); print; exit }' >&2
    exit 2
}

# Answers --help and -h as the first argument.
answer_help() {
    if [[ ${1:-} == --help || ${1:-} == -h ]]; then
        help
        exit
    fi
}

# arguments MAX "$@": answers --help and -h; refuses every other option, and what follows the first MAX arguments.
arguments() {
    local max=$1 argument && shift
    answer_help "$@"
    for argument in "$@"; do
        [[ $argument != -* && $max != 0 ]] || refuse "$argument"
        max=$((max - 1))
    done
}

# value "$@": prints the value of the option that "$@" starts with, or ends the script where there is none.
value() {
    [[ -n ${2:-} ]] || refuse "$1" "a value is missing after"
    echo "$2"
}

# count NAME VALUE: refuses a value that is not a whole number.
count() { [[ $2 =~ ^[0-9]+$ ]] || refuse "$2" "$1 is not a number"; }
