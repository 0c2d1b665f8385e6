package host

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// words are the arguments behind "--", which runner always writes.
func (c *Call) words() []string {
	if i := slices.Index(c.Args, "--"); i >= 0 {
		return c.Args[i+1:]
	}
	return c.Args[1:]
}

func rm(_ context.Context, c *Call) int {
	for _, path := range c.words() {
		if path = filepath.Clean(path); path == "/" || !filepath.IsAbs(path) {
			return c.Fail(1, "refusing to remove %q", path)
		}
		if err := os.RemoveAll(c.on(path)); err != nil {
			return c.Fail(1, "%v", err)
		}
	}
	return 0
}

func ln(_ context.Context, c *Call) int {
	w := c.words()
	if len(w) != 2 {
		return c.Fail(1, "want two names")
	}
	if err := os.Remove(c.on(w[1])); err != nil && !os.IsNotExist(err) {
		return c.Fail(1, "%v", err)
	}
	if err := os.Link(c.on(w[0]), c.on(w[1])); err != nil {
		return c.Fail(1, "%v", err)
	}
	return 0
}

func cp(_ context.Context, c *Call) int {
	w := c.words()
	to := c.on(w[len(w)-1])
	for _, from := range w[:len(w)-1] {
		if err := copyFile(c.on(from), filepath.Join(to, filepath.Base(from))); err != nil {
			return c.Fail(1, "cannot copy '%s': %v", from, err)
		}
	}
	return 0
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

func syncAll(context.Context, *Call) int { return 0 }

// sh runs the one script that runner has for it: a key by way of standard input,
// into the environment of a program.
func sh(ctx context.Context, c *Call) int {
	if len(c.Args) < 5 || c.Args[1] != "-c" || !strings.HasPrefix(c.Args[2], "read -r RUNNER_REAR_KEY && export RUNNER_REAR_KEY "+
		"BACKUP_PROG_CRYPT_KEY=env:RUNNER_REAR_KEY ") || c.Args[4] != "rear" {
		return c.Fail(2, "the lab knows no such script")
	}
	key, err := io.ReadAll(io.LimitReader(c.Stdin, 4096))
	if err != nil || len(strings.TrimSpace(string(key))) == 0 {
		return c.Fail(1, "there is no key: %v", err)
	}
	below := *c
	below.Args, below.Stdin = c.Args[4:], strings.NewReader("")
	return rearWith(ctx, &below, strings.TrimSpace(string(key)))
}

// cryptsetup saves the header of a container, and prints its metadata: the host's
// lab/luks.json, when it is there.
func cryptsetup(_ context.Context, c *Call) int {
	switch {
	case len(c.Args) == 5 && c.Args[1] == "luksHeaderBackup" && c.Args[3] == "--header-backup-file":
		if err := os.WriteFile(c.on(c.Args[4]), []byte("LUKS\xba\xbe header of "+c.Args[2]), 0o600); err != nil {
			return c.Fail(1, "%v", err)
		}
		return 0
	case len(c.Args) == 4 && c.Args[1] == "luksDump" && c.Args[2] == "--dump-json-metadata":
		raw, err := os.ReadFile(c.on("/lab/luks.json"))
		if err != nil {
			return c.Fail(1, "%s is no LUKS2 device", c.Args[3])
		}
		if _, err := c.Stdout.Write(raw); err != nil {
			return c.Fail(1, "%v", err)
		}
		return 0
	}
	return c.Fail(1, "the lab does not know %q", c.Args[1:])
}
