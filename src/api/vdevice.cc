#include "hotaru/vdevice.h"

#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "api/expected_of.h"
#include "api/vdevice_impl.h"
#include "base/thread_pool.h"
#include "device/machine_memory.h"

namespace hotaru {
namespace {

constexpr int kMaxThreads = 1024;

Result<std::unique_ptr<VDevice::Impl>> create_impl(const VDeviceParams& params) {
  if (params.threads < 0 || params.threads > kMaxThreads) {
    return invalid("threads: got {}, want 0 (all) to {}", params.threads, kMaxThreads);
  }
  TRY_ASSIGN(const Isa isa, parse_isa(params.isa));
  const int threads = params.threads > 0 ? params.threads : default_thread_count();
  const uint64_t memory_bytes = params.memory_bytes > 0 ? params.memory_bytes : machine_memory_bytes();
  return std::make_unique<VDevice::Impl>(threads, isa, memory_bytes);
}

// Another file under the same name is another model.
Result<std::string> file_identity(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) {
    const int reason = errno;
    return make_error(reason == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo, "{}: {}", path,
                      std::generic_category().message(reason));
  }
  return fmt::format("{}:{}:{}:{}.{}", found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec,
                     found.st_mtim.tv_nsec);
}

}  // namespace

Result<std::shared_ptr<LoadedModel>> LoadedModel::create(std::shared_ptr<VDevice> device, LanguageModel model) {
  TRY_ASSIGN(std::unique_ptr<Engine> engine, Engine::create(std::move(model), {}));
  return std::shared_ptr<LoadedModel>(new LoadedModel(std::move(device), std::move(engine)));
}

LoadedModel::LoadedModel(std::shared_ptr<VDevice> device, std::unique_ptr<Engine> engine)
    : device_(std::move(device)), engine_(std::move(engine)), bytes_(model().device().info().total_bytes) {
  device_->impl().take_bytes(bytes_);
}

LoadedModel::~LoadedModel() {
  engine_.reset();
  device_->impl().give_back_bytes(bytes_);
}

Result<std::shared_ptr<LoadedModel>> VDevice::Impl::load(const std::shared_ptr<VDevice>& device,
                                                         const std::string& hef_path) {
  const std::lock_guard lock(load_mutex_);
  TRY_ASSIGN(const std::string identity, file_identity(hef_path));
  std::weak_ptr<LoadedModel>& entry = models_[identity];
  if (std::shared_ptr<LoadedModel> loaded = entry.lock()) return loaded;
  DeviceOptions options;
  options.isa = isa_;
  options.threads = threads_;
  const uint64_t used = used_bytes();
  options.memory_bytes = used < memory_bytes_ ? memory_bytes_ - used : 1;  // 0 would be the machine's memory
  TRY_ASSIGN(LanguageModel model, LanguageModel::open(hef_path, options));
  TRY_ASSIGN(std::shared_ptr<LoadedModel> loaded, LoadedModel::create(device, std::move(model)));
  entry = loaded;
  std::erase_if(models_, [](const auto& known) { return known.second.expired(); });
  return loaded;
}

uint64_t VDevice::Impl::used_bytes() const {
  const std::lock_guard lock(bytes_mutex_);
  return used_bytes_;
}

void VDevice::Impl::take_bytes(uint64_t bytes) {
  const std::lock_guard lock(bytes_mutex_);
  used_bytes_ += bytes;
}

void VDevice::Impl::give_back_bytes(uint64_t bytes) {
  const std::lock_guard lock(bytes_mutex_);
  used_bytes_ -= bytes;
}

Expected<std::shared_ptr<VDevice>> VDevice::create_shared(const VDeviceParams& params) {
  Result<std::unique_ptr<Impl>> impl = create_impl(params);
  if (!impl) return failure_of(std::move(impl).error());
  return std::make_shared<VDevice>(*std::move(impl));
}

VDevice::VDevice(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VDevice::~VDevice() = default;

int VDevice::threads() const { return impl_->threads(); }
std::string VDevice::isa() const { return std::string(isa_name(impl_->isa())); }
uint64_t VDevice::memory_bytes() const { return impl_->memory_bytes(); }
uint64_t VDevice::used_memory_bytes() const { return impl_->used_bytes(); }

}  // namespace hotaru
