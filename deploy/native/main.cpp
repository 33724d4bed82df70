// Answers JSON lines from standard input with JSON lines, until the input ends, as it does when the parent dies.

#include <cstdio>
#include <iostream>
#include <string>

#include <unistd.h>

#include "runner.h"

int main() {
    std::FILE *answers = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO); // what runtimes print must not stand between the answers
    if (!answers) {
        std::perror("msnoah-runner: no standard output");
        return 2;
    }
    msnoah::Runner runner;
    for (std::string line; std::getline(std::cin, line);) {
        const auto replace = nlohmann::json::error_handler_t::replace; // names need not be UTF-8
        const std::string text = runner.answer(line).dump(-1, ' ', true, replace) + "\n";
        if (std::fputs(text.c_str(), answers) < 0 || std::fflush(answers) != 0)
            return 1;
    }
    return 0;
}
