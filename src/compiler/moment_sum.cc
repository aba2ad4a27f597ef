#include "compiler/moment_sum.h"

#include "base/check.h"
#include "compiler/float_ops.h"

namespace hotaru {

MomentSum::MomentSum(size_t inputs, size_t outputs_with_residual, ThreadPool* pool)
    : inputs_(inputs),
      outputs_(outputs_with_residual),
      pool_(pool),
      quantised_(inputs * inputs),
      cross_(inputs * inputs),
      residual_(outputs_with_residual * inputs) {}

void MomentSum::add(const Rows& rows) {
  const size_t tokens = rows.quantised.size() / inputs_;
  CHECK_EQ(rows.exact.size(), rows.quantised.size());
  CHECK_EQ(rows.residual.size(), tokens * outputs_);
  const float* u = rows.quantised.data();
  add_outer_products(*pool_, {.a = u, .b = u, .sum = quantised_.data(), .rows = tokens, .m = inputs_, .n = inputs_});
  add_outer_products(
      *pool_, {.a = rows.exact.data(), .b = u, .sum = cross_.data(), .rows = tokens, .m = inputs_, .n = inputs_});
  if (outputs_ > 0) {
    add_outer_products(
        *pool_,
        {.a = rows.residual.data(), .b = u, .sum = residual_.data(), .rows = tokens, .m = outputs_, .n = inputs_});
  }
  tokens_ += tokens;
}

void MomentSum::finish() {
  if (tokens_ == 0) return;
  const float factor = 1.0F / static_cast<float>(tokens_);
  for (std::vector<float>* sums : {&quantised_, &cross_, &residual_}) {
    for (float& sum : *sums) sum *= factor;
  }
}

}  // namespace hotaru
