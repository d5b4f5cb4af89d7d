/* SPDX-License-Identifier: Apache-2.0 */
/* lauter_value_check() on the vectors of Tests/Vectors/values.txt: `values FILE` prints "let through" and "refused" with
 * their numbers, and fails where the library says anything else than a line does. */
#include <lauter.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_TYPE "application/vnd.lauter.value"

static int failures;

static void expect(const char *name, const char *wanted, const char *found) {
        if (strcmp(wanted, found) == 0) return;
        fprintf(stderr, "%s: wanted \"%s\", found \"%s\"\n", name, wanted, found);
        failures++;
}

/** What the library says of parts: "" or its message, to be freed. */
static char *said(const lauter_part *parts, size_t count, const char *subject) {
        lauter_error *error = NULL;
        int32_t code = lauter_value_check(parts, count, &error);
        if (code == LAUTER_OK) {
                if (error != NULL) abort();
                return strdup("");
        }
        if (code != LAUTER_ERROR_INVALID || lauter_error_code(error) != code) abort();
        expect("subject", subject, lauter_error_subject(error));
        char *text = strdup(lauter_error_message(error));
        lauter_error_free(error);
        if (lauter_value_check(parts, count, NULL) != code) abort();
        return text;
}

/** Parts from "00ff/01", each in memory of just its size. */
static size_t read_parts(char *hex, lauter_part *parts) {
        size_t count = 0;
        for (char *field; (field = strsep(&hex, "/")) != NULL; count++) {
                if (count == LAUTER_PARTS_MAX) abort();
                size_t size = strlen(field) / 2;
                unsigned char *bytes = malloc(size ? size : 1);
                for (size_t index = 0; index < size; index++) {
                        if (sscanf(field + 2 * index, "%2hhx", &bytes[index]) != 1) abort();
                }
                parts[count] = (lauter_part){VALUE_TYPE, bytes, size};
        }
        return count;
}

static void arguments(void) {
        lauter_part nowhere = {VALUE_TYPE, NULL, 1}, empty = {VALUE_TYPE, NULL, 0};
        const struct {
                const lauter_part *parts;
                size_t count;
                const char *subject, *message;
        } cases[] = {
            {NULL, 1, "parts", "parts is NULL"},
            {&nowhere, 0, "part_count", "0 parts, a value has 1 to 256"},
            {&nowhere, 257, "part_count", "257 parts, a value has 1 to 256"},
            {&nowhere, 1, "parts", "part 0 has 1 bytes at NULL"},
            {&empty, 1, "value", "the value is broken at byte 0: cut short"},
        };
        for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
                char *text = said(cases[index].parts, cases[index].count, cases[index].subject);
                expect("arguments", cases[index].message, text);
                free(text);
        }
}

int main(int count, char **words) {
        FILE *file = count == 2 ? fopen(words[1], "r") : NULL;
        if (file == NULL) return 2;
        char *line = NULL;
        size_t room = 0;
        int through = 0, refused = 0;
        while (getline(&line, &room, file) > 0) {
                if (*line == '#') continue;
                char *rest = line, *name = strsep(&rest, "\t"), *hex = strsep(&rest, "\t");
                char *outcome = strsep(&rest, "\n"), wanted[256] = "";
                if (outcome == NULL || (*outcome != '=' && *outcome != '!')) abort();
                if (*outcome == '!') {
                        char *reason;
                        long offset = strtol(outcome + 2, &reason, 10);
                        snprintf(wanted, sizeof wanted, "the value is broken at byte %ld:%s", offset, reason);
                }
                lauter_part parts[LAUTER_PARTS_MAX];
                size_t part_count = read_parts(hex, parts);
                char *text = said(parts, part_count, "value");
                expect(name, wanted, text);
                *text ? refused++ : through++;
                free(text);
                while (part_count > 0) free((void *)parts[--part_count].data);
        }
        free(line);
        fclose(file);
        arguments();
        printf("%d let through, %d refused\n", through, refused);
        return failures != 0;
}
