/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/secret_file.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <cmocka.h> /* last: its macro fail() is not base/error.h's function */

static char directory[] = "/tmp/test_secret_file.XXXXXX", path[64];

static void put(const char *data, size_t length, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void first_line_is_the_secret(void **state)
{
	static const struct {
		const char *data, *secret;
	} cases[] = {
		{"hush", "hush"},
		{"hush\n", "hush"},
		{"hush\r\n", "hush"},
		{"hush \nnot this\n", "hush "},
	};
	char secret[SECRET_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put(cases[i].data, strlen(cases[i].data), 0600);
		assert_int_equal(secret_read(path, secret, NULL, NULL), RESULT_OK);
		assert_string_equal(secret, cases[i].secret);
	}
}

static void longest_secret_fits_and_a_longer_one_is_refused(void **state)
{
	char data[SECRET_MAX_BYTES + 1], secret[SECRET_MAX_BYTES] = "untouched";
	struct error err = {0};

	(void)state;
	memset(data, 'q', sizeof(data));
	put(data, SECRET_MAX_BYTES, 0600);
	assert_int_equal(secret_read(path, secret, NULL, &err), RESULT_FATAL);
	assert_string_equal(secret, "untouched");
	assert_non_null(strstr(err.text, path));
	assert_null(strstr(err.text, "qqq"));

	data[SECRET_MAX_BYTES - 1] = '\n';
	put(data, sizeof(data), 0600);
	assert_int_equal(secret_read(path, secret, NULL, NULL), RESULT_OK);
	assert_int_equal(strlen(secret), SECRET_MAX_BYTES - 1);
}

static void bad_files_are_named_and_their_content_is_not(void **state)
{
	char secret[SECRET_MAX_BYTES];
	struct error err = {0};

	(void)state;
	put("", 0, 0600);
	assert_int_equal(secret_read(path, secret, NULL, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, path));
	put("\nhush\n", 6, 0600);
	assert_int_equal(secret_read(path, secret, NULL, &err), RESULT_FATAL);
	put("hu\0sh\n", 6, 0600);
	assert_int_equal(secret_read(path, secret, NULL, &err), RESULT_FATAL);
	assert_null(strstr(err.text, "hu\""));
	assert_int_equal(secret_read(directory, secret, NULL, &err), RESULT_FATAL);
	assert_int_equal(secret_read("/absent/file", secret, NULL, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, "/absent/file"));
}

static void readable_by_all_is_noticed(void **state)
{
	char secret[SECRET_MAX_BYTES];
	bool exposed = true;

	(void)state;
	put("hush\n", 5, 0640);
	assert_int_equal(secret_read(path, secret, &exposed, NULL), RESULT_OK);
	assert_false(exposed);
	put("hush\n", 5, 0644);
	assert_int_equal(secret_read(path, secret, &exposed, NULL), RESULT_OK);
	assert_true(exposed);
}

static void bare_name_is_a_credential(void **state)
{
	char secret[SECRET_MAX_BYTES], where[PATH_MAX], big[PATH_MAX + 2];
	struct error err = {0};

	(void)state;
	put("hush\n", 5, 0600);
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(secret_read("secret", secret, NULL, &err), RESULT_FATAL);
	assert_non_null(strstr(err.text, "CREDENTIALS_DIRECTORY"));

	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	assert_int_equal(secret_path("secret", where, NULL), RESULT_OK);
	assert_string_equal(where, path);
	assert_int_equal(secret_path("./secret", where, NULL), RESULT_OK);
	assert_string_equal(where, "./secret");
	assert_int_equal(secret_read("secret", secret, NULL, NULL), RESULT_OK);
	assert_string_equal(secret, "hush");

	memset(big, 'n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(secret_path(big, where, &err), RESULT_FATAL);
	unsetenv("CREDENTIALS_DIRECTORY");
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/secret", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_line_is_the_secret),
		cmocka_unit_test(longest_secret_fits_and_a_longer_one_is_refused),
		cmocka_unit_test(bad_files_are_named_and_their_content_is_not),
		cmocka_unit_test(readable_by_all_is_noticed),
		cmocka_unit_test(bare_name_is_a_credential),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
