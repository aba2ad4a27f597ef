# What the scripts of tests/ share; sourced by them. `work` is the script's scratch folder. Each case prints "ok NAME" or "not ok NAME".
failures=0

report() {  # report STATUS NAME
  if [[ $1 == 0 ]]; then
    echo "ok $2"
  else
    echo "not ok $2"
    [[ ! -s $work/log ]] || { echo "    the last lines of what it printed:" && tail -n 5 "$work/log" | sed 's/^/    /'; }
    failures=$((failures + 1))
  fi
}
check() {  # check NAME COMMAND...
  local name=$1 status=0
  shift
  "$@" >>"$work/log" 2>&1 || status=1
  report $status "$name"
}
refused() {  # refused PATTERN COMMAND...: exit code 1 and one line on stderr that has the pattern
  local pattern=$1 code=0
  shift
  "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || code=$?
  [[ $code == 1 && $(wc -l <"$work/stderr") == 1 ]] && grep -q -- "$pattern" "$work/stderr"
}
