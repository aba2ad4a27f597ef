// POST /api/create: a model of an uploaded HEF, or of a model of the store with an adapter, a system message, a
// template, parameters.
#include <optional>

#include "genai/engine.h"
#include "server/reply/model_options.h"
#include "server/request/errors.h"
#include "server/request/fields.h"
#include "server/store/handlers.h"
#include "server/store/hef_details.h"
#include "server/store/status_stream.h"

namespace hotaru::server {
namespace {

struct CreateRequest {
  std::string model, from, lora;
  std::string system, chat_template, license;
  std::vector<std::string> digests;
  Json parameters;
  bool streams = true;
  [[nodiscard]] bool has_changes() const {
    return !lora.empty() || !system.empty() || !chat_template.empty() || !license.empty() || !parameters.is_null();
  }
};

void read_parameters(Fields& fields, CreateRequest& request) {
  const Json* parameters = fields.object("parameters");
  if (parameters == nullptr) return;
  Fields options(*parameters, "parameters");
  ReplyTask unused;  // the types are checked where they are used
  read_model_options(options, unused);
  fields.take_error(options);
  if (!parameters->empty()) request.parameters = *parameters;
}

void refuse_what_is_missing(Fields& fields) {
  const auto refuse = [&fields](const char* name, const char* why) {
    const Json* value = fields.any(name);
    if (value != nullptr && !value->empty()) fields.refuse(name, why);
  };
  refuse("adapters",
         "is not supported: adapters are compiled into a HEF; \"lora\" or from \"base:adapter\" chooses one");
  refuse("messages", "is not supported: want none");
  refuse("quantize", "is not supported: a HEF is quantised already");
  refuse("quantization", "is not supported: a HEF is quantised already");
}

CreateRequest read_create(Fields& fields) {
  CreateRequest request;
  const auto text = [&fields](const char* name) { return fields.text(name).value_or(""); };
  request.model = text("model");
  if (request.model.empty()) request.model = text("name");
  if (request.model.empty()) request.model = fields.required_text("model");
  request.from = text("from");
  request.lora = text("lora");
  request.system = text("system");
  request.chat_template = text("template");
  for (const std::string& license : fields.texts("license").value_or(std::vector<std::string>())) {
    request.license += (request.license.empty() ? "" : "\n") + license;
  }
  if (const Json* files = fields.object("files")) {
    Fields names(*files, "files");
    for (const auto& file : files->items()) request.digests.push_back(names.required_text(file.key()));
    fields.take_error(names);
  }
  read_parameters(fields, request);
  refuse_what_is_missing(fields);
  request.streams = fields.boolean("stream").value_or(true);
  return request;
}

// The base of the new model, changed as the request says.
Result<StoredModel> made_model(const ModelStore& store, const CreateRequest& request, const std::string& base) {
  TRY_ASSIGN(StoredModel made, store.find(base));
  made.parent = made.name.text();
  if (!request.lora.empty()) {
    TRY_ASSIGN(const HefDetails details, read_hef_details(made.hef_path));
    DeviceInfo info;
    info.adapters = details.adapters;
    TRY(find_adapter(info, request.lora));
    made.adapter = request.lora;
  }
  if (!request.system.empty()) made.system = request.system;
  if (!request.chat_template.empty()) made.chat_template = request.chat_template;
  if (!request.license.empty()) made.license = request.license;
  if (request.parameters.is_object()) {
    if (!made.parameters.is_object()) made.parameters = Json::object();
    made.parameters.update(request.parameters);
  }
  TRY_ASSIGN(made.name, ModelName::parse(request.model));
  return made;
}

Result<void> create(ModelStore& store, const CreateRequest& request, StatusLines& lines) {
  TRY(ModelName::parse(request.model));
  if (request.digests.empty() && request.from.empty()) {
    return invalid("neither 'from' or 'files' was specified");
  }
  if (request.digests.empty()) {
    TRY_ASSIGN(const StoredModel made, made_model(store, request, request.from));
    TRY_ASSIGN(const std::string digest, store.digest_of(made));
    lines.write({{"status", "using existing layer sha256:" + digest}});
    lines.write({{"status", "writing manifest"}});
    return store.create_from_model(made);
  }
  if (request.digests.size() > 1) return not_supported("'files': got {} files, want one HEF", request.digests.size());
  TRY(store.blob_path(request.digests[0]));
  if (!store.has_blob(request.digests[0])) return invalid("'files': blob \"{}\" not found", request.digests[0]);
  lines.write({{"status", "parsing HEF"}});
  TRY(store.create_from_blob(request.model, request.digests[0]));
  lines.write({{"status", "using existing layer " + request.digests[0]}});
  if (request.has_changes()) {
    TRY_ASSIGN(StoredModel made, made_model(store, request, request.model));
    made.parent.clear();
    TRY(store.create_from_model(made));
  }
  lines.write({{"status", "writing manifest"}});
  return {};
}

}  // namespace

void handle_create(ModelPool& pool, const SharedExchange& exchange) {
  const std::string& path = exchange->request().path;
  const Result<Json> body = Fields::parse_object(exchange->request().body);
  if (!body) return exchange->respond(error_response(path, body.error()));
  Fields fields(*body, "");
  const CreateRequest request = read_create(fields);
  if (!fields.ok()) return exchange->respond(error_response(path, fields.error(), fields.bad_field()));
  const std::shared_ptr<StatusLines> lines = make_status_lines(exchange, request.streams);
  const Result<void> created = create(pool.store(), request, *lines);
  if (!created) return lines->fail(created.error());
  lines->write({{"status", "success"}});
  lines->finish();
}

}  // namespace hotaru::server
