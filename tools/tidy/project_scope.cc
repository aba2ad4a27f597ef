// A clang-tidy plugin of one pseudo check, hotaru-project-scope: the other checks then walk the project's declarations only.
// clang-tidy 14 walks every declaration of every system header and throws the findings away; that is half of its time and more.
// check_tidy.py compiles it (tools/tidy is not part of the program) and looks with findings.cc whether everything is still found.
#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>
#include <clang/AST/ASTContext.h>
#include <clang/ASTMatchers/ASTMatchFinder.h>

namespace {

using clang::ast_matchers::MatchFinder;

class ProjectScope : public clang::tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerMatchers(MatchFinder* finder) override {
    finder->addMatcher(clang::ast_matchers::translationUnitDecl(), this);
  }

  // The translation unit is the first node that is visited; its children are then taken from the scope set here.
  void check(const MatchFinder::MatchResult& found) override {
    std::vector<clang::Decl*> kept;
    for (clang::Decl* declaration : found.Context->getTranslationUnitDecl()->decls()) {
      const clang::SourceLocation place = found.SourceManager->getExpansionLoc(declaration->getLocation());
      if (place.isValid() && !found.SourceManager->isInSystemHeader(place)) kept.push_back(declaration);
    }
    found.Context->setTraversalScope(kept);
  }
};

class Module : public clang::tidy::ClangTidyModule {
 public:
  void addCheckFactories(clang::tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<ProjectScope>("hotaru-project-scope");
  }
};

const clang::tidy::ClangTidyModuleRegistry::Add<Module> kModule("hotaru", "walks the project's declarations only");

}  // namespace
