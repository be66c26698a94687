"""Promises to aiobotocore, botocore for asyncio."""

import asyncio

from aiobotocore.session import get_session
from given import BUCKET, KEYS, MIB, data, same


async def many_objects_at_once_round_trip():
    async with get_session().create_client("s3") as s3:

        async def exchange(number: int) -> None:
            key, sent = f"{number}/{KEYS[number % len(KEYS)]}", data(50_000 + number)
            await s3.put_object(Bucket=BUCKET, Key=key, Body=sent)
            answer = await s3.get_object(Bucket=BUCKET, Key=key)
            async with answer["Body"] as body:
                assert same(await body.read(), sent), key

        await asyncio.gather(*(exchange(number) for number in range(60)))
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 25})
        assert len([entry async for page in pages for entry in page["Contents"]]) == 60


async def a_large_object_comes_in_chunks():
    async with get_session().create_client("s3") as s3:
        sent = data(9 * MIB)
        await s3.put_object(Bucket=BUCKET, Key="large", Body=sent)
        answer = await s3.get_object(Bucket=BUCKET, Key="large")
        async with answer["Body"] as body:
            got = b"".join([chunk async for chunk in body.iter_chunks(1 << 16)])
        assert same(got, sent)
