"""What an indexcoord tells and asks one indexnode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from milvus_coord.clients.envelope import require
from milvus_coord.clients.service_client import NodeClient
from milvus_coord.pb.milvus.proto.index import (
    CreateJobRequest,
    DropJobsRequest,
    GetJobStatsRequest,
    GetJobStatsResponse,
    IndexTaskInfo,
    QueryJobsRequest,
    QueryJobsResponse,
)


@dataclass(frozen=True, slots=True)
class JobStats:
    """What an indexnode has room for; `task_slots` is below 1 when it has none."""

    task_slots: int
    enable_disk: bool


class IndexNodeClient(NodeClient):
    """One indexnode. Its jobs live in its memory alone, under cluster and build id."""

    service = "milvus.proto.index.IndexNode"

    async def job_stats(self) -> JobStats:
        """How many more jobs it takes."""
        reply = await self._ask("GetJobStats", GetJobStatsRequest(), GetJobStatsResponse)
        require(reply.status)
        return JobStats(reply.task_slots, reply.enable_disk)

    async def create_job(self, request: CreateJobRequest) -> None:
        """Queue the build of one index.

        CallRefused with BuildIndexError (21): it has a job of that build id already.
        """
        await self._tell("CreateJob", request)

    async def query_jobs(self, cluster: str, build_ids: Sequence[int]) -> list[IndexTaskInfo]:
        """The state of each job, in the order asked; IndexStateNone for one it does not know."""
        request = QueryJobsRequest(cluster_id=cluster, build_i_ds=list(build_ids))
        reply = await self._ask("QueryJobs", request, QueryJobsResponse)
        require(reply.status)
        return reply.index_infos

    async def drop_jobs(self, cluster: str, build_ids: Sequence[int]) -> None:
        """Cancel and forget jobs; may be repeated."""
        request = DropJobsRequest(cluster_id=cluster, build_i_ds=list(build_ids))
        await self._tell("DropJobs", request)
