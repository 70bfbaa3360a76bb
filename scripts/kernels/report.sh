# shellcheck shell=bash
# shellcheck disable=SC2154 # the caller has them
# Sourced by scripts/test-kernels: what was run on a kernel, and the tables of docs/kernels.md. The caller has $cache, $out (the
# results of the kernel), $ran (those that were run) and $commit.

# report KERNEL: says what was run; writes $out/row and $out/others, the lines of the two tables. Fails where a test failed, or
# more do not apply than skips.txt has room for.
report() {
    local name=$1 machine program file demo passed skipped failed left pages warned
    read -r _ machine _ < <(grep "^$name " scripts/kernels/kernels.txt)
    : >"$out/all"
    left=0
    while read -r program _ _ file _; do
        cat "$out/results/$file" >>"$out/all" 2>/dev/null || true
        left=$((left + $(cut -f 3 "$out/results/$file" 2>/dev/null | sed "s/^$program:://" | grep -cvxFf - "$out/listed/$program" 2>/dev/null || true)))
    done <"$out/jobs"
    demo=$(awk -F '\t' '$3 == "demo" { print ($1 == "passed" ? $4 : "failed"); exit }' "$out/results/$(sed -n 's/^demo_results=//p' "$out/environment")" 2>/dev/null || true)
    passed=$(grep -c '^passed' "$out/all" || true)
    skipped=$(grep -c '^skipped' "$out/all" || true)
    failed=$(grep -c '^failed' "$out/all" || true)
    demo=${demo:-not run}
    warned=$(grep -acE 'WARNING: CPU|BUG: |Oops: ' "$out/console" || true)
    pages=$(($(cat "$out/pagesize" 2>/dev/null || echo 0) / 1024))
    echo "| $name | $(cat "$cache/$name/release") | $machine | $pages KiB | ${demo% seen} | $passed | $skipped | $failed | $left | $commit |" >"$out/row"
    grep -v '^passed' "$out/all" | sort -t $'\t' -k 1,1 -k 3,3 | while IFS=$'\t' read -r state _ test reason; do
        [ "$state" = failed ] || state="does not apply"
        echo "| $name | $test | $state | ${reason//|/ } |"
    done >"$out/others"
    echo "$name: demo $demo; $passed passed, $failed failed, $skipped do not apply, $left not run; $(cat "$out/slower" 2>/dev/null || echo '?') times as slow"
    [ "$warned" = 0 ] || echo "$name: the kernel warned $warned times, see $out/console"
    sed 's/^/  /' "$out/others"
    if [ "$skipped" -gt "$(sed -n 's/^at-most //p' scripts/kernels/skips.txt)" ]; then
        echo "$name: more tests do not apply than scripts/kernels/skips.txt allows"
        return 1
    fi
    [[ $failed = 0 && $demo == *seen ]]
}

# table MARKER FILE: in docs/kernels.md, replaces the rows of the kernels that were run by those in their FILE.
table() {
    local name rows
    rows=$(mktemp)
    grep -v '^#' scripts/kernels/kernels.txt | cut -d ' ' -f 1 | while read -r name; do
        if [[ " ${ran[*]} " == *" $name "* ]]; then
            cat "$cache/results/$name/$2"
        else
            awk -v marker="<!-- $1 -->" -v row="| $name |" '$0 == marker { on = 1 } /<!-- end -->/ { on = 0 } on && index($0, row) == 1' docs/kernels.md
        fi
    done >"$rows"
    awk -v marker="<!-- $1 -->" -v rows="$rows" '
        $0 == marker { on = 1; print; next }
        /<!-- end -->/ && on { while ((getline line < rows) > 0) print line; on = 0 }
        !on || !/^\|/ || head < 2 && on { if (on && /^\|/) head++; print }' docs/kernels.md >"$rows.new"
    cat "$rows.new" >docs/kernels.md
    rm "$rows" "$rows.new"
}
