package ruleset

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// cloudflareCalls writes the requests that bring rules, lists and tunnels back, with
// their bodies in files beside.
func cloudflareCalls(j *kind.Job, d *ruleset.Document) error {
	x, err := cloudflare.FromDocument(d)
	if err != nil {
		return err
	}
	calls, err := x.Calls()
	if err != nil {
		return err
	}
	return requests(j, calls)
}

// plainPath is what needs no quoting: names in an export are not ours.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/_.-]*$`)

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// requests writes calls of Cloudflare's API as a script, which finds its bodies in
// the folder bodies.
func requests(j *kind.Job, calls []cloudflare.Call) error {
	lines := []string{"#!/bin/sh -eu", "# AUTH is a file of mode 0600 that holds one line: Authorization: Bearer TOKEN",
		"# The token needs the right to change what is named here; the one that exports may only read.",
		"API=${API:-https://api.cloudflare.com/client/v4}", ": \"${AUTH:?}\"", "cd \"$(dirname \"$0\")\""}
	dir := filepath.Join(j.Into, "bodies")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for i, c := range calls {
		if !plainPath.MatchString(c.Path) || !plainPath.MatchString("/"+c.Method) {
			return fmt.Errorf("the request %q %q cannot be written into a script", c.Method, c.Path)
		}
		body := fmt.Sprintf("bodies/%04d.json", i+1)
		if c.Body != nil {
			if err := os.WriteFile(filepath.Join(j.Into, body), c.Body, 0o600); err != nil {
				return err
			}
		}
		lines = append(lines, "", "# "+strings.Map(printable, c.Why), c.Line(body))
	}
	j.Paths = append(j.Paths, dir)
	return j.WriteScript("restore-calls.sh", lines)
}
