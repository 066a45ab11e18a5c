"""Sums up a table. Needs dagster-pipes and Arrow, and nothing else."""

from pathlib import PurePosixPath

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from dagster_pipes import open_dagster_pipes


def main() -> None:
    """Read one URI, write the other."""
    with open_dagster_pipes() as pipes:
        source, path = pafs.FileSystem.from_uri(pipes.get_extra("orders"))
        orders = pq.read_table(path, filesystem=source)
        summary = orders.group_by("item").aggregate([("eur", "sum")])
        target, path = pafs.FileSystem.from_uri(pipes.get_extra("summary"))
        if isinstance(target, pafs.LocalFileSystem):
            target.create_dir(str(PurePosixPath(path).parent))
        pq.write_table(summary, path, filesystem=target, write_page_checksum=True)
        pipes.report_asset_materialization(metadata={"dagster/row_count": summary.num_rows})


if __name__ == "__main__":
    main()
