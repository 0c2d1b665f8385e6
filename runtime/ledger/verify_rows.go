package ledger

import "context"

// kinds lists every kind of row.
func kinds() []string {
	return []string{RowRun, RowRunEnd, RowArtifact, RowCopy, RowRemoved, RowProof, RowReading, RowItem, RowMedium, RowCustody, RowKey, RowProbe,
		RowUndo, RowDemands, RowGap, RowWitness, RowDamaged}
}

// projections compares the stored rows with what the entries make.
func (v *verifier) projections(ctx context.Context) error {
	wrong := map[rowKey]string{} // what is said of the entry that made the row
	for _, kind := range kinds() {
		if err := v.s.Rows(ctx, Query{Kind: kind}, func(r Row) error {
			k := keyOf(r.Kind, r.ID)
			want, ok := v.rows.get(k)
			switch {
			case !ok:
				v.problem(-1, "the %s %s is stored, but no entry says so", r.Kind, r.ID)
			case want.digest != digestOf(r):
				if len(wrong) < maxProblems {
					wrong[k] = "is not stored as this entry says"
				}
			}
			if ok {
				delete(v.rows.rows, k)
			}
			return ctx.Err()
		}); err != nil {
			return err
		}
	}
	for k := range v.rows.rows {
		if _, live := v.rows.get(k); live && len(wrong) < maxProblems {
			wrong[k] = "is missing among the stored ones"
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return v.blame(ctx, wrong)
}

// blame names the last entry that made each wrong row.
func (v *verifier) blame(ctx context.Context, wrong map[rowKey]string) error {
	type maker struct {
		seq      int64
		kind, id string
	}
	makers := map[rowKey]maker{}
	var order []rowKey
	if err := v.s.Entries(ctx, Filter{}, func(e Entry) error {
		changes, err := Project(e)
		if err != nil {
			return err
		}
		for _, c := range changes {
			k := keyOf(c.Kind, c.ID)
			if _, ok := wrong[k]; !ok || c.Drop {
				continue
			}
			if _, known := makers[k]; !known {
				order = append(order, k)
			}
			makers[k] = maker{e.Seq, c.Kind, c.ID}
		}
		return ctx.Err()
	}); err != nil {
		return err
	}
	for _, k := range order {
		m := makers[k]
		v.problem(m.seq, "the %s %s %s", m.kind, m.id, wrong[k])
	}
	return nil
}
