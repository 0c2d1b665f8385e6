package savefiles

import (
	"fmt"
	"testing"
)

const mountinfo = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
24 22 8:17 / /srv/with\040space rw - xfs /dev/sdb1 rw
25 22 8:33 / /srv/data rw - ext4 /dev/sdc1 rw
half a line
`

func TestPathsBelowOneAnotherAreSavedOnce(t *testing.T) {
	m := parseMounts(mountinfo)
	if m.at("/srv/with space") != "xfs" || len(m) != 4 {
		t.Errorf("got %v", m)
	}
	for _, c := range []struct {
		m        mounts
		in, want []string
	}{
		{m, []string{"/srv/", "/srv/a", "/srv", "/srvx"}, []string{"/srv", "/srvx"}},
		{m, []string{"/srv/data/x", "/srv", "/srv/data"}, []string{"/srv", "/srv/data"}},
		{m, []string{"/etc", "/"}, []string{"/"}},
		{nil, []string{"/srv", "/srv/a"}, []string{"/srv", "/srv/a"}},
	} {
		j := &job{mounts: c.m}
		if j.choose(c.in); fmt.Sprint(j.paths) != fmt.Sprint(c.want) {
			t.Errorf("%v: got %v, want %v", c.in, j.paths, c.want)
		}
	}
}
