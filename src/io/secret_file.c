/* SPDX-License-Identifier: Apache-2.0 */
#include "io/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum result secret_path(const char *name, char ret[PATH_MAX], struct error *err)
{
	const char *directory = NULL;
	int n;

	if (!strchr(name, '/')) {
		directory = getenv("CREDENTIALS_DIRECTORY");
		if (!directory || !*directory)
			return fail(err, RESULT_FATAL, 0,
				"secret file \"%s\": a name without \"/\" is a systemd credential, but "
				"$CREDENTIALS_DIRECTORY is not set; give the whole path or "
				"LoadCredential=",
				name);
	}

	char path[PATH_MAX];

	n = snprintf(path, sizeof(path), "%s%s%s", directory ? directory : "", directory ? "/" : "",
		name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(err, RESULT_FATAL, ENAMETOOLONG,
			"secret file \"%.40s...\": path too long", name);
	memcpy(ret, path, (size_t)n + 1);
	return RESULT_OK;
}

/* Up to `size` bytes from the start of the file, without a stdio buffer that would keep a copy. */
static ssize_t read_start(int fd, char *ret, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(fd, ret + have, size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static enum result first_line(
	const char *path, int fd, char ret[SECRET_MAX_BYTES], struct error *err)
{
	ssize_t have = read_start(fd, ret, SECRET_MAX_BYTES);

	if (have < 0)
		return fail(err, RESULT_FATAL, errno, "cannot read secret file %s: %s", path,
			strerror(errno));

	const char *end = memchr(ret, '\n', (size_t)have);
	size_t length = end ? (size_t)(end - ret) : (size_t)have;

	if (end && length > 0 && ret[length - 1] == '\r')
		length--;
	if (length == 0)
		return fail(err, RESULT_FATAL, 0, "secret file %s: its first line is empty", path);
	if (length == SECRET_MAX_BYTES)
		return fail(err, RESULT_FATAL, 0,
			"secret file %s: its first line has over %d bytes", path,
			SECRET_MAX_BYTES - 1);
	if (memchr(ret, '\0', length))
		return fail(err, RESULT_FATAL, 0, "secret file %s: it holds a NUL byte", path);
	explicit_bzero(ret + length, SECRET_MAX_BYTES - length);
	return RESULT_OK;
}

enum result secret_read(
	const char *name, char ret[SECRET_MAX_BYTES], bool *ret_exposed, struct error *err)
{
	char path[PATH_MAX], line[SECRET_MAX_BYTES] = "";
	enum result r = secret_path(name, path, err);

	if (r)
		return r;

	/* A pipe without a writer must not hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st = {0};

	if (fd < 0 || fstat(fd, &st))
		r = fail(err, RESULT_FATAL, errno, "cannot read secret file %s: %s", path,
			strerror(errno));
	else
		r = first_line(path, fd, line, err);
	if (fd >= 0)
		close(fd);
	if (!r) {
		memcpy(ret, line, sizeof(line));
		if (ret_exposed)
			*ret_exposed = (st.st_mode & S_IROTH) != 0;
	}
	explicit_bzero(line, sizeof(line));
	return r;
}
