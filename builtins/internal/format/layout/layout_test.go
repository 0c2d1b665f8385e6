package layout

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, name string) Layout {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func devices(list []Component) (out []string) {
	for _, c := range list {
		out = append(out, c.Kind+" "+c.Device+c.Mount)
	}
	slices.Sort(out)
	return out
}

func TestComponentsOfAProxmoxHost(t *testing.T) {
	l := parse(t, "pve.conf")
	want := map[string]Component{
		"/dev/sda":               {Kind: "disk", Type: "gpt", Size: 64424509440},
		"/dev/sda3":              {Kind: "lvmdev", On: "/dev/pve", UUID: "Nxhl5T-0000-0000-0000-0000-0000-000000"},
		"/dev/pve/data":          {Kind: "lvmvol", On: "/dev/pve", Type: "thin,pool", Size: 35433480192},
		"/dev/mapper/pve-root":   {Kind: "fs", Mount: "/", Type: "ext4", UUID: "2c1f6b2e-0000-4000-8000-000000000001"},
		"/dev/mapper/pve-swap":   {Kind: "swap", UUID: "2c1f6b2e-0000-4000-8000-000000000003"},
		"/dev/pve/vm-100-disk-0": {Kind: "lvmvol", On: "/dev/pve", Type: "thin,sparse", Size: 4294967296},
	}
	for _, c := range l.Components {
		w, ok := want[c.Device]
		if !ok || c.Kind != w.Kind {
			continue
		}
		delete(want, c.Device)
		w.Active, w.Device, w.Line = true, c.Device, c.Line
		if !reflect.DeepEqual(c, w) {
			t.Errorf("got %+v, want %+v", c, w)
		}
	}
	for left := range want {
		t.Errorf("%s was not read", left)
	}
	if got := devices(l.Of("disk")); !slices.Equal(got, []string{"disk /dev/sda"}) {
		t.Errorf("active disks: got %v, want /dev/sda alone", got)
	}
	if got := devices(l.Thin()); !slices.Equal(got, []string{"lvmvol /dev/pve/data"}) {
		t.Errorf("thin pools: got %v", got)
	}
}

func TestWhatIsNamedTakesAlongWhatLiesOnIt(t *testing.T) {
	l := parse(t, "pve.conf")
	for _, c := range []struct{ name, of, want string }{
		{"a volume group", "/dev/pve", "fs /dev/mapper/pve-root/ lvmgrp /dev/pve lvmvol /dev/pve/data lvmvol /dev/pve/root lvmvol " +
			"/dev/pve/swap lvmvol /dev/pve/vm-100-disk-0 swap /dev/mapper/pve-swap"},
		{"a guest's volume by its other name", "/dev/mapper/pve-vm--100--disk--0", "lvmvol /dev/pve/vm-100-disk-0"},
		{"a mount point", "/boot/efi", "fs /dev/sda2/boot/efi"},
		{"a disk that recovery leaves alone", "/dev/sdb", ""},
		{"a LUKS container that recovery leaves alone", "/dev/mapper/offline-a", ""},
		{"a mount that recovery leaves alone", "/srv/offline-a", ""},
		{"a name that begins like another", "/dev/sd", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(devices(l.Naming(c.of)), " "); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
	all := devices(l.Naming("/dev/sda"))
	for _, want := range []string{"disk /dev/sda", "part /dev/sda2", "lvmgrp /dev/pve", "lvmvol /dev/pve/data", "fs /dev/mapper/pve-root/"} {
		if !slices.Contains(all, want) {
			t.Errorf("the disk takes along %v, want %q among them", all, want)
		}
	}
}

// ReaR 2.7 wrote this one on a host whose disk it could not open.
func TestALineWithoutItsEndIsRead(t *testing.T) {
	l := parse(t, "whole-disk.conf")
	if got := devices(l.Of("fs")); !slices.Equal(got, []string{"fs /dev/vda/"}) {
		t.Errorf("got %v, want / alone", got)
	}
	if len(l.Naming("/mnt/out")) != 0 {
		t.Error("a mount that is commented out is active")
	}
}

func TestBadLinesAreRefusedWhereTheyCount(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a kind that nobody knows", "disk /dev/sda 1 gpt\nzpool rpool /dev/sdb\n", `disklayout.conf:2: "zpool" is not a kind`},
		{"a line that is cut", "part /dev/sda 1031168", "has 3 words, want at least 7"},
		{"a size that is none", "disk /dev/sda big gpt", "not a size"},
		{"a size below zero", "disk /dev/sda -1 gpt", "not a size"},
		{"a line without end", "#" + strings.Repeat("x", maxLine+1), "a line of more than"},
		{"a file without end", strings.Repeat("# comment\n", maxBytes/10+10), "more than"},
		{"the same where recovery leaves it alone", "#part /dev/sda 1031168\n#disk /dev/sda big gpt\n#zpool rpool\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(c.text))
			if c.want == "" && err == nil {
				return
			}
			if fault := new(Error); !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	was, _ := Parse(strings.NewReader("disk /dev/sda 100 gpt\nfs /dev/sda1 / ext4 uuid=a\n#disk /dev/sdb 5 gpt\nswap /dev/sda2 uuid= " +
		"label=\n"))
	is, _ := Parse(strings.NewReader("swap /dev/sda2 uuid= label=\nfs /dev/sda1 / ext4 uuid=b\ndisk /dev/sda 100 gpt\ndisk /dev/sdb 5 gpt\n"))
	want := []string{"is:  disk /dev/sdb 5 gpt", "was: fs /dev/sda1 / ext4 uuid=a", "is:  fs /dev/sda1 / ext4 uuid=b"}
	if got := Diff(was, is); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Diff(was, was); got != nil {
		t.Errorf("a layout differs from itself: %q", got)
	}
}

func TestDependencies(t *testing.T) {
	got, err := ParseDeps(strings.NewReader("fs:/mnt/out /dev/loop0\n\n# comment\nfs:/ /dev/vda\n"))
	if err != nil || !slices.Equal(got, []Dep{{"fs:/mnt/out", "/dev/loop0"}, {"fs:/", "/dev/vda"}}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseDeps(strings.NewReader("one two three\n")); err == nil {
		t.Error("three words are not a dependency")
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"pve.conf", "whole-disk.conf"} {
		raw, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		if d := Diff(l, l); d != nil {
			t.Errorf("it differs from itself: %q", d)
		}
		for _, c := range l.Of("disk") {
			if len(l.Naming(c.Device)) == 0 {
				t.Errorf("%q names nothing", c.Device)
			}
		}
		_, _ = ParseDeps(bytes.NewReader(data))
	})
}

// ReaR 2.7 of Debian 13 wrote this one, on a host with a thin pool in root's volume
// group and two LUKS2 disks: the lines of the containers are in two.
func TestALineInTwoIsOne(t *testing.T) {
	l := parse(t, "luks2.conf")
	var cut []string
	for _, c := range l.Components {
		if c.Cut {
			cut = append(cut, fmt.Sprint(c.Kind, " ", c.Device, " on ", c.On, " ", c.UUID, " ", c.Active))
		}
	}
	want := []string{"crypt /dev/mapper/copies1 on /dev/vdc 0ca2b839-86a4-4eb5-baef-d5a16530e7f1 false",
		"crypt /dev/mapper/copies2 on /dev/vdd a3c9b1b6-8dfb-4ffa-b361-bd03401d0169 false"}
	if !slices.Equal(cut, want) {
		t.Errorf("got %q, want %q", cut, want)
	}
	if got := devices(l.Naming("/dev/pve")); !slices.Contains(got, "lvmvol /dev/pve/data") ||
		!slices.Contains(got, "lvmvol /dev/pve/vm-100-disk-0") || len(l.Naming("/dev/vdc")) != 0 {
		t.Errorf("got %v, want the thin pool and its volume, and no disk of copies", got)
	}
	l, err := Parse(strings.NewReader("crypt /dev/mapper/root /dev/sda3 type=luks2 hash=sha256\nsha256 uuid=b\n"))
	if err != nil || len(l.Of("crypt")) != 1 || l.Of("crypt")[0].UUID != "b" || !l.Of("crypt")[0].Cut {
		t.Errorf("got %+v, %v", l, err)
	}
	for _, bad := range []string{"disk /dev/sda 1 gpt\nsha256 uuid=b\n", "crypt /dev/mapper/root /dev/sda3 type=luks2 hash=sha256\nsha256 " +
		"uuid=b\nsha256 uuid=c\n"} {
		if _, err := Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
