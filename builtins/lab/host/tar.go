package host

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tarKnows are the options that the lab's tar takes, all of which runner writes.
var tarKnows = []string{
	"--create", "--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--sort=name",
	"--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse", "--one-file-system",
	"--verbose", "--index-file=/dev/null", "--quoting-style=escape", "--directory=/",
	"--anchored", "--wildcards", "--no-wildcards", "--no-anchored", "--no-wildcards-match-slash", "--null", "--files-from=-", "--file=-"}

// tarOf writes an archive of the names on standard input: types, modes and contents.
//
//	says N TEXT   it prints "tar: TEXT" and ends with N, after a whole archive
//	cut           it ends by SIGKILL in the midst of the archive
func tarOf(_ context.Context, c *Call) int {
	if slices.Equal(c.Args[1:], []string{"--version"}) {
		fmt.Fprintln(c.Stdout, "tar (GNU tar) 1.35")
		return 0
	}
	var exclude []string
	for _, a := range c.Args[1:] {
		if x, ok := strings.CutPrefix(a, "--exclude="); ok {
			exclude = append(exclude, x)
		} else if !slices.Contains(tarKnows, a) {
			return c.Fail(64, "unrecognized option '%s'", a)
		}
	}
	deeds, err := c.Due("says", "cut")
	if err != nil {
		return c.Fail(2, "%v", err)
	}
	names, err := io.ReadAll(io.LimitReader(c.Stdin, 1<<20))
	if err != nil {
		return c.Fail(2, "%v", err)
	}
	exit := 0
	w := tar.NewWriter(c.Stdout)
	for _, name := range strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if _, err := os.Lstat(c.on("/" + name)); err != nil {
			exit = c.Fail(2, "%s: Cannot stat: No such file or directory", name)
			continue
		}
		err := filepath.WalkDir(c.on("/"+name), func(path string, d fs.DirEntry, err error) error {
			for _, x := range exclude {
				if ok, _ := filepath.Match(x, d.Name()); ok || path == c.on("/"+x) {
					if d.IsDir() {
						return fs.SkipDir
					}
					return nil
				}
			}
			if err != nil {
				return err
			}
			return c.pack(w, path)
		})
		if err != nil {
			return c.Fail(2, "%v", err)
		}
	}
	for _, d := range deeds {
		code, text, _ := strings.Cut(d.Args, " ")
		if d.Name == "cut" {
			return Signaled
		}
		fmt.Fprintf(c.Stderr, "tar: %s\n", text)
		if _, err := fmt.Sscan(code, &exit); err != nil {
			return c.Fail(2, "bad fault %q", d.Args)
		}
	}
	if err := w.Close(); err != nil {
		return c.Fail(2, "%v", err)
	}
	if exit == 2 {
		c.Fail(2, "Exiting with failure status due to previous errors")
	}
	return exit
}

// pack writes one entry.
func (c *Call) pack(w *tar.Writer, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(c.Root, path)
	if err != nil {
		return err
	}
	h.Name, h.Format, h.Uname, h.Gname = rel, tar.FormatPAX, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
