package builtins

import "testing"

func TestGuestAssetsNamesWhatGuestsBelongTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, extra, want string }{
		{"one for all", "", `["virtual_machines"]`},
		{"some choose their guests", `asset(name = "services", guests = tagged("prod"))`, `["virtual_machines", "services"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.edit("unprotected(guest", c.extra+"\nunprotected(guest")
			if out := b.good(`return guest_assets()`); out.Value.String() != c.want {
				t.Errorf("got %s, want %s", out.Value, c.want)
			}
		})
	}
}
