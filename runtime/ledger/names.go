package ledger

// StarlarkType names the type in policies and in errors.
func (Artifact) StarlarkType() string { return "artifact" }

// LedgerID is how arguments name the artifact.
func (a Artifact) LedgerID() string { return a.ID }

// StarlarkType names the type in policies and in errors.
func (Copy) StarlarkType() string { return "copy" }

// LedgerID is how arguments name the copy.
func (c Copy) LedgerID() string { return c.ID }

// StarlarkType names the type in policies and in errors.
func (Item) StarlarkType() string { return "item" }

// StarlarkType names the type in policies and in errors.
func (Proof) StarlarkType() string { return "proof" }
