#include "backends.h"

#include <vector>

#ifdef MSNOAH_WITH_NCNN
#include "ncnn_session.h"
#endif

namespace msnoah {

static const std::vector<Backend> BACKENDS = {
#ifdef MSNOAH_WITH_NCNN
    {"ncnn", ncnn_version, open_ncnn},
#endif
};

const Backend &find_backend(const std::string &name) {
    std::string known;
    for (const Backend &backend : BACKENDS) {
        if (backend.name == name)
            return backend;
        known += (known.empty() ? "" : ", ") + backend.name;
    }
    throw RunnerError("this runner has no runtime '" + name + "'; it was built with " + known);
}

} // namespace msnoah
