/* SPDX-License-Identifier: Apache-2.0 */
/* The same host in C++: what it makes frees itself, what fails throws.
 *
 *     c++ -std=c++17 host.cpp $(pkg-config --cflags --libs lauter) -o host
 */
#include <lauter.hpp>
#include <iostream>

using namespace std::chrono_literals;

int main() try {
        lauter::host host;
        lauter::policy policy("notebook"); // what the worker may do …
        policy.set("limit", "memory=1G");
        lauter::worker worker = host.spawn(policy, lauter::launch("python")); // … and what is started

        for (std::string_view cell : {"print('hello from C++')", "while True: pass", "6 * 7"}) {
                lauter::call call = worker.start("execute", lauter::make_part("text/x-python", cell));
                lauter::event done, event;
                if (!call.wait(done, 2s)) { // two seconds without an end:
                        call.interrupt();   // stop that cell, and no other
                        done = call.wait();
                }
                while (host.next(event)) std::cout << event.written();
                try {
                        std::cout << done.check().part_of("text/plain").value_or("") << '\n';
                } catch (const lauter::error &failure) { // the cell's, which is no fault of ours
                        std::cout << failure.what() << '\n';
                }
        }
        worker.stop();
        std::cout << "worker: " << worker.wait_exit().report()->why << '\n';
} catch (const lauter::error &error) {
        std::cerr << error.code_name() << ": " << error.what() << '\n';
        return 1;
}
