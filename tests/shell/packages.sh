# Packages from the registries of Python and Node under build/clients, at the releases that the tests know; sourced by scripts of tests/ from the
# root. A new release is tried by changing its number here.
packages_home=$PWD/build/clients
python_packages=(ollama==0.6.3 openai==3.57.0 anthropic==2.14.0 langchain-ollama==1.1.0 langchain-openai==1.7.4
  schemathesis==4.32.5)
node_packages=(ollama@0.6.4 openai@6.49.0)
browser_packages=(playwright-core@1.60.0 axe-core@4.14.1)

install_once() {  # install_once NAME INSTALLER PACKAGE...
  local stamp=$packages_home/$1.installed installer=$2
  shift 2
  mkdir -p "$packages_home"
  (
    flock 9  # scripts run side by side, and npm has one folder for all
    [[ $(cat "$stamp" 2>/dev/null) != "$*" ]] || exit 0
    "$installer" "$@" && echo "$*" >"$stamp"
  ) 9>"$packages_home/lock"
}
with_pip() {
  python3 -m venv "$packages_home/venv"
  "$packages_home/venv/bin/pip" install --quiet "$@"
}
with_npm() { (cd "$packages_home" && npm install --silent --no-fund --no-audit "$@"); }
