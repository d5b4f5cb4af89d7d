# SPDX-License-Identifier: Apache-2.0
# gcc, g++, make: a program, one with OpenMP, a library that is loaded, debug information, a build in parallel.
set -euo pipefail
cat >many.c <<'END'
#include <omp.h>
#include <stdio.h>
int main(void) {
        long sum = 0;
#pragma omp parallel for reduction(+ : sum)
        for (long i = 0; i < 1000000; i++) sum += i;
        return sum == 499999500000L && omp_get_max_threads() >= 1 ? 0 : 1;
}
END
cat >part.c <<'END'
int answer(void) { return 42; }
END
cat >load.cpp <<'END'
#include <dlfcn.h>
#include <future>
#include <stdexcept>
#include <vector>
int main() {
        void *part = dlopen("./libpart.so", RTLD_NOW);
        auto answer = reinterpret_cast<int (*)()>(dlsym(part, "answer"));
        std::vector<std::future<int>> all;
        for (int i = 0; i < 8; i++) all.push_back(std::async(std::launch::async, answer));
        int sum = 0;
        for (auto &one : all) sum += one.get();
        try { throw std::runtime_error("caught"); } catch (const std::exception &) { return sum == 336 ? 0 : 1; }
}
END
cat >Makefile <<'END'
all: many load libpart.so
many: many.c ; gcc -g -O2 -fopenmp -flto -o $@ $<
libpart.so: part.c ; gcc -g -shared -fPIC -o $@ $<
load: load.cpp ; g++ -g -O1 -pthread -o $@ $<
END
make --silent --jobs 4
./many && ./load
gcc -fsanitize=undefined -static-libgcc -o checked part.c -xc - <<<'int answer(void); int main(void) { return answer() != 42; }'
./checked
objdump --disassemble=answer libpart.so | grep -q ret
echo DONE
