#include "cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace hotaru::cli {
namespace {

constexpr int kHistoryLines = 1000;
constexpr char kInvisible = '\1';  // encloses what takes no room in the prompt: colours

struct EditLineEnd {
  void operator()(EditLine* editor) const { el_end(editor); }
};
struct HistoryEnd {
  void operator()(History* lines) const { history_end(lines); }
};

}  // namespace

struct LineEditor::State {
  std::unique_ptr<History, HistoryEnd> history;
  std::unique_ptr<EditLine, EditLineEnd> editor;  // ends before the history it uses
  std::string history_path;
  std::string prompt;
  bool is_interrupted = false;

  static State* of(EditLine* editor) {
    State* state = nullptr;
    el_get(editor, EL_CLIENTDATA, &state);
    return state;
  }
  static char* prompt_of(EditLine* editor) { return of(editor)->prompt.data(); }
  static unsigned char interrupt(EditLine* editor, int /*key*/) {
    of(editor)->is_interrupted = true;
    return CC_EOF;
  }
  void remember(const std::string& line) const {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    HistEvent event{};
    ::history(history.get(), &event, H_ENTER, line.c_str());
    if (!history_path.empty()) ::history(history.get(), &event, H_SAVE, history_path.c_str());
  }
};

Result<LineEditor> LineEditor::open(const std::string& history_path) {
  // libedit reads characters, not bytes: without a UTF-8 locale it would drop what is not ASCII.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  auto state = std::make_unique<State>();
  state->history.reset(history_init());
  state->editor.reset(el_init("hotaru", stdin, stderr, stderr));
  if (!state->history || !state->editor) return make_error(ErrorKind::kIo, "cannot set up line editing");
  state->history_path = history_path;
  HistEvent event{};
  history(state->history.get(), &event, H_SETSIZE, kHistoryLines);
  history(state->history.get(), &event, H_SETUNIQUE, 1);
  if (!history_path.empty()) history(state->history.get(), &event, H_LOAD, history_path.c_str());
  EditLine* editor = state->editor.get();
  el_set(editor, EL_CLIENTDATA, state.get());
  el_set(editor, EL_PROMPT_ESC, &State::prompt_of, kInvisible);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, state->history.get());
  // Ctrl-C is a key here, not a signal: it drops the line and nothing else.
  el_set(editor, EL_ADDFN, "hotaru-interrupt", "Drop this line", &State::interrupt);
  el_set(editor, EL_BIND, "^C", "hotaru-interrupt", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_source(editor, nullptr);  // ~/.editrc, as every program with libedit does
  return LineEditor(std::move(state));
}

LineEditor::LineEditor(std::unique_ptr<State> state) : state_(std::move(state)) {}
LineEditor::LineEditor(LineEditor&&) noexcept = default;
LineEditor::~LineEditor() = default;

LineEditor::Input LineEditor::read(const std::string& prompt) {
  const auto coloured = [](const char* text) { return std::string(1, kInvisible) + text + kInvisible; };
  state_->prompt = stderr_has_color() ? coloured("\033[1;32m") + prompt + coloured("\033[0m") : prompt;
  state_->is_interrupted = false;
  // libedit draws the prompt first and takes the terminal over after: a key in between would be the terminal's.
  el_set(state_->editor.get(), EL_PREP_TERM, 1);
  int length = 0;
  const char* line = el_gets(state_->editor.get(), &length);
  if (state_->is_interrupted) {
    std::fputs("^C\n", stderr);
    return {Event::kInterrupt, ""};
  }
  if (line == nullptr || length <= 0) return {Event::kEnd, ""};
  std::string text(line);
  if (text.ends_with('\n')) text.pop_back();
  state_->remember(text);
  return {Event::kLine, std::move(text)};
}

std::string history_path() {
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return "";
  const std::string folder = std::string(home) + "/.hotaru";
  mkdir(folder.c_str(), 0700);  // exists already, or saving the history fails quietly: it is a convenience
  return folder + "/history";
}

}  // namespace hotaru::cli
