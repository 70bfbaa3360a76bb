#!/bin/sh
# The kubectl of a cluster in the lab: it answers from the files beside it, and exec enters the namespaces of a process of
# the pod, so that the real podlan-node answers on each node.
dir=${0%/*}
printf '%s\n' "$*" >>"$dir/log"
while case ${1:-} in --*) true ;; *) false ;; esac; do shift; done

refuse() {
    echo "Error from server $1" >&2
    exit 1
}

case "$1 $2" in
    "get pods")
        case "$*" in
            *app=podlan-smoke*) cat "$dir/smoke.json" ;;
            *wide*) echo "NAME READY" ;;
            *) cat "$dir/agents.json" ;;
        esac
        ;;
    "get nodes")
        if [ -e "$dir/nodes.json" ]; then cat "$dir/nodes.json"; else refuse "(Forbidden): nodes is forbidden"; fi
        ;;
    "get pod")
        space=default
        [ "${6:-}" != --namespace ] || space=$7
        cat "$dir/pods/$space.$3.json" 2>/dev/null || refuse "(NotFound): pods \"$3\" not found"
        ;;
    "get service") echo '{"spec": {"clusterIPs": []}}' ;;
    apply* | delete*) cat >>"$dir/$1" ;;
    rollout*) ;;
    exec*)
        shift
        while [ "$1" != -- ]; do
            case $1 in
                --namespace | --container) shift ;;
                *) pod=$1 ;;
            esac
            shift
        done
        shift
        process=$(cat "$dir/processes/$pod" 2>/dev/null) || refuse "(NotFound): pods \"$pod\" not found"
        if [ ! -d "/proc/$process" ]; then
            echo 'error: unable to upgrade connection: container not found ("podlan-node")' >&2
            exit 1
        fi
        case $1 in
            podlan-node) shift && set -- "$dir/podlan-node" "$@" ;;
            # The last argument is the URL.
            curl) while [ $# != 1 ]; do shift; done && set -- python3 "$dir/ask.py" "$1" ;;
        esac
        nsenter --target "$process" --mount --net --uts -- "$@"
        code=$?
        [ $code = 0 ] || echo "command terminated with exit code $code" >&2
        exit $code
        ;;
    *) refuse "(NotFound): $*" ;;
esac
